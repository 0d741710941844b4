"""The audit: rebuilds from the outside what should be, and names whatever is not so.

It reads the six databases and the gateway's book, writes nothing, and imports no decider and no state of a service: a
mistake there must not be able to excuse itself here. What it knows of phases, links and papers it says once more in its
own words; when a service learns something new, the auditor has to be told.

Theory of operation. Every database is read in one repeatable-read transaction. When in these snapshots every link has
received all that was sent on it, no message is on its way, and all that they say must fit together, however far apart
they were taken (`quiet`). Rules within one database are set-based SQL. Rules across databases go order by order: each
table is a stream sorted by order, the streams are merged into lives (`gather`), a rule is a pure function of a life.
Whatever a life is suspected of is looked at once more before it is called a violation (`run`): a violation stays.

    books, quiet        what is read, and when
    life, gather        one order's life, as all books together tell it
    stock, issues, money, phases, neighbours    the rules about goods, papers, money and phases
    links, leftovers, parked                    the rules about messages
    report, run         what it comes to
"""

from larder.audit.books import CannotLook
from larder.audit.report import Report, Violation
from larder.audit.run import WAIT_S, audit

__all__ = ["WAIT_S", "CannotLook", "Report", "Violation", "audit"]
