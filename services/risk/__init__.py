"""Risk: may this order go on, and is its stock locked at placing or deducted at payment?"""
