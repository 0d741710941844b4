"""The audit: rebuilds from the outside what should be, and names whatever is not so.

It reads the six databases and the gateway's book, writes nothing, and imports no decider and no state of a service: a
mistake there must not be able to excuse itself here. What it knows of phases, links and papers it says once more in its
own words; when a service learns something new, the auditor has to be told.

Theory of operation. Every database is read in one repeatable-read transaction. When in these snapshots every link has
received all that was sent on it, no message is on its way, and all that they say must fit together, however far apart
they were taken (`quiet`). A rule is a pure function of books. Most are about one order: each table is a stream by
order, the streams are merged into lives, so that memory does not grow with the orders. The others take rows a portion
at a time. Whatever a life is suspected of is looked at once more before it is called a violation (`run`): it stays.

There are two sources of books, and the rules know neither: PostgreSQL, and an evening of the simulation, in memory and
at rest (`larder.simulation.books`). tests/audit/test_two_sources.py holds them against each other.

    life, look          one order's life, as all books together tell it; what is on its way
    rules               the list of rules about one order, and when they can be asked
    phases, issues, money, neighbours, tickets      these rules
    stock, links, leftovers, owners, parked         the rules about rows, and those about waiting
    books, quiet, gather, tables                    PostgreSQL as a source: what is read, when, lives, other rows
    report, run         what it comes to
"""

from larder.audit.books import CannotLook
from larder.audit.report import Report, Violation
from larder.audit.run import WAIT_S, audit

__all__ = ["WAIT_S", "CannotLook", "Report", "Violation", "audit"]
