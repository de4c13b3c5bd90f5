"""The command line. Every command answers 0, 1 when it found something wrong, or 2 with one sentence on stderr."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from personalization import bootstrap
from personalization.client import Client, Refused, Unreachable
from personalization.clock import Clock, SystemClock, instant
from personalization.errors import Invalid, MisconfiguredError, NotFound, PersonalizationError
from personalization.lab import checkup, datasets, demo, importing, rebuilding, showing, simulation, teaching
from personalization.lab.allocation_bench import AllocationBench, bench_allocation
from personalization.lab.backtest import MUST, Backtest, LiveBacktest, backtest, live_backtest
from personalization.lab.bench import Bench, bench
from personalization.lab.bookmark import Bookmark
from personalization.lab.evaluate import evaluate, tasks_of
from personalization.lab.pages import page
from personalization.lab.policy_bench import PolicyBench, bench_policies
from personalization.lab.scenarios import OFF_POLICY, SCENARIOS, USUAL
from personalization.operations import judging
from personalization.operations.training import Lineage
from personalization.rest.answering import encoded
from personalization.security.identity import new_key
from personalization.service import PersonalizationService
from personalization.settings import DEMO, Settings, settings_from
from personalization.storage.base import ApiKeyRecord, Storage
from personalization.version import VERSION
from personalization.vocabulary import ModelStatus, Role

Step = Callable[[int, int], None]


def main(argv: list[str] | None = None) -> int:
    """Run one command; `argv` without the program's name, by default the process's own."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except (PersonalizationError, Refused, Unreachable) as error:
        print(str(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


# -- serving ---------------------------------------------------------------------------------------------------------


def _demo(arguments: argparse.Namespace) -> int:
    settings = settings_from(app_env=DEMO)
    return demo.run(replace(settings, port=arguments.port or settings.port), arguments.host)


def _serve(arguments: argparse.Namespace) -> int:
    settings = settings_from()
    bootstrap.with_secrets(settings)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", *_gunicorn_options(settings), "personalization:create_app()"])


def _gunicorn_options(settings: Settings) -> list[str]:
    """The working directory's gunicorn.conf.py when there is one, else what it would say."""
    if Path("gunicorn.conf.py").is_file():
        return ["--config", "gunicorn.conf.py"]
    said = {
        "--config": "python:personalization.draining",
        "--bind": f"0.0.0.0:{settings.port}",
        "--worker-class": "personalization.rest.transport.ProblemWorker",
        "--threads": "64",
        "--timeout": "60",
        "--graceful-timeout": "30",
        "--keep-alive": "75",
        "--forwarder-headers": "",
    }
    workers = ["--workers", "1"] if settings.sqlite else []
    return [*(word for pair in said.items() for word in pair), *workers, "--no-control-socket"]


def _migrate(_: argparse.Namespace) -> int:
    with _storage() as storage:
        before = storage.life.schema()
        storage.life.migrate()
        print(f"The schema was {before} and is {storage.life.schema()} now.")
    return 0


# -- keys ------------------------------------------------------------------------------------------------------------


def _create_key(arguments: argparse.Namespace) -> int:
    clock = SystemClock()
    with _storage(expect_head=True) as storage:
        fresh, now = new_key(), clock.now()
        storage.tenants.create(_id("tenant", arguments.tenant), now)
        storage.keys.add(
            ApiKeyRecord(
                key_id=fresh.key_id,
                tenant_id=arguments.tenant,
                role=arguments.role,
                name=arguments.name,
                digest=fresh.digest,
                created_at=now,
            )
        )
    made = {"key_id": fresh.key_id, "api_key": fresh.api_key, "tenant_id": arguments.tenant, "role": arguments.role}
    if arguments.json:
        print(json.dumps(made))
    else:
        print(f"{fresh.api_key}\nThe {arguments.role} key {fresh.key_id} of tenant {arguments.tenant}; it is shown this once.")
    return 0


def _revoke_key(arguments: argparse.Namespace) -> int:
    with _storage(expect_head=True) as storage:
        known = storage.keys.get(arguments.key_id)
        if known is None or not storage.keys.revoke(known.tenant_id, known.key_id, SystemClock().now()):
            raise NotFound("unrevoked API key")
    print(f"The key {arguments.key_id} is revoked; a running server refuses it within seconds.")
    return 0


def _id(field: str, value: str) -> str:
    if not (1 <= len(value) <= 256 and value.isprintable()):
        raise Invalid.field(field, "must be 1-256 printable characters")
    return value


# -- data ------------------------------------------------------------------------------------------------------------


def _import(arguments: argparse.Namespace) -> int:
    settings = bootstrap.with_secrets(settings_from())
    clock = SystemClock()
    with _storage(expect_head=True) as storage:
        storage.tenants.create(_id("tenant", arguments.tenant), clock.now())
        service = bootstrap.build_house(settings, clock, storage).service(arguments.tenant)
        rejects = arguments.rejects or arguments.file.with_name(arguments.file.name + ".rejects.jsonl")
        secret = storage.tenants.secret(arguments.tenant, "import")
        bookmark = Bookmark(settings.state_dir / "imports", arguments.what, secret, arguments.file, rejects)
        if arguments.restart:
            bookmark.remove()
        with _bar(f"Importing {arguments.what}") as step:
            found = importing.IMPORTS[arguments.what](service, arguments.file, rejects, step, bookmark)
    if found.continued_after:
        print(f"Continued after row {found.continued_after:,}, where the last try stopped (--restart begins at the first row).")
    print(
        f"{found.accepted:,} {arguments.what} imported, {found.duplicates:,} known already, {found.rejected:,} rejected"
        + (f"; the reasons are in {rejects}." if found.rejected else ".")
    )
    return 1 if found.rejected and not found.accepted + found.duplicates else 0


def _rebuild(arguments: argparse.Namespace) -> int:
    if not arguments.check:
        raise MisconfiguredError("Only `personalization rebuild --check` is known: it derives everything anew and compares.")
    with _storage(expect_head=True) as storage, _bar("Rebuilding") as step:
        if arguments.tenant and not storage.tenants.exists(arguments.tenant):
            raise NotFound("tenant")
        tenants = [arguments.tenant] if arguments.tenant else storage.tenants.list()
        found = rebuilding.check(storage, tenants, step)
    if arguments.json:
        print(json.dumps(found.document()))
    else:
        said = "identical to" if found.identical else "DIFFERENT from"
        print(f"Rebuilt from the log's first row to {found.seq:,}: {said} what is live ({found.rebuilt_hash}).")
    return 0 if found.identical else 1


# -- people ----------------------------------------------------------------------------------------------------------


def _export_user(arguments: argparse.Namespace) -> int:
    with _service(arguments.tenant) as (_, service):
        export = service.export(_id("user", arguments.user))
        with arguments.out.open("wb") if arguments.out else nullcontext(sys.stdout.buffer) as file:
            file.writelines(export.chunks(encoded))
            file.write(b"\n")
    return 0


def _erase_user(arguments: argparse.Namespace) -> int:
    """Beside a running server, that one finishes the erasure; else this process does."""
    clock = SystemClock()
    with _service(arguments.tenant) as (house, service):
        erasure_id = service.erase_user_data(_id("user", arguments.user))["erasure_id"]
        until = clock.monotonic() + arguments.wait
        with _leading(house.settings, clock) as may_lead:
            while (found := service.erasure(erasure_id))["status"] != "completed" and clock.monotonic() < until:
                if not (may_lead and house.followers.step()):
                    Event().wait(0.05)
        house.followers.close()
    print(json.dumps(found))
    return 0 if found["status"] == "completed" else 1


@contextmanager
def _service(tenant_id: str) -> Iterator[tuple[bootstrap.House, PersonalizationService]]:
    """Raises NotFound for an unknown tenant."""
    with _storage(expect_head=True) as storage:
        house = bootstrap.build_house(bootstrap.with_secrets(settings_from()), SystemClock(), storage)
        yield house, house.service(tenant_id)


@contextmanager
def _leading(settings: Settings, clock: Clock) -> Iterator[bool]:
    """Whether this process may follow the log: on SQLite only while no server does; on PostgreSQL whoever is elected."""
    try:
        lock = bootstrap.lone_lock(settings, clock)
    except MisconfiguredError:
        yield False
        return
    try:
        yield True
    finally:
        if lock is not None:
            lock.release()


# -- words -----------------------------------------------------------------------------------------------------------


def _preview(arguments: argparse.Namespace) -> int:
    """Of a tenant's template, or of a sample one."""
    wanted = {"all_locales": arguments.all_locales, "language": arguments.language}
    with _service(arguments.tenant) if arguments.tenant else nullcontext((None, showing.sample_service())) as (_, service):
        document = service.preview_template(arguments.template, wanted)
    found = showing.rows(document)
    if arguments.html:
        arguments.html.write_text(showing.page(document), "utf-8")
    if arguments.json:
        arguments.json.write_text(json.dumps(document, ensure_ascii=False), "utf-8")
    _show(f"{arguments.template} in {len(found)} locales", ("", "language", "script", "direction", "falls back", "findings"), found)
    return 1 if any(row[-1] for row in found) else 0


# -- measuring -------------------------------------------------------------------------------------------------------


def _backtest(arguments: argparse.Namespace) -> int:
    folder = arguments.data or settings_from().data_dir or datasets.DEFAULT_FOLDER
    log = datasets.TRIALS[arguments.dataset](folder).first(arguments.rows)
    found: Backtest | LiveBacktest
    with _bar(f"Replaying {log.name}") as step:
        if arguments.url:
            if not arguments.api_key:
                raise MisconfiguredError("A backtest over HTTP needs --api-key; `personalization keys create` makes one.")
            client = Client(arguments.url, arguments.api_key)
            found = live_backtest(log, client, secrets.token_hex(4), progress=step)
        else:
            found = backtest(log, arguments.permutations, progress=step)
    met = bool(found.document()["met"])
    if arguments.json:
        print(json.dumps(found.document()))
    else:
        _show(f"Backtest on {log.name}, {found.rows:,} rows", ("", ""), _backtest_rows(found))
    return 0 if met else 1


def _backtest_rows(found: Backtest | LiveBacktest) -> list[tuple[str, str]]:
    beside = [("random", f"{found.random:.4f}"), (f"best fixed arm ({found.best_arm})", f"{found.best_fixed:.4f}")]
    if isinstance(found, LiveBacktest):
        verdict = "wholly above random" if found.low > found.random else "NOT wholly above random"
        return [
            (f"policy, {found.accepted:,} rows accepted", f"{found.mean:.4f}"),
            ("95 % interval", f"{found.low:.4f} .. {found.high:.4f}  {verdict}"),
            *beside,
        ]
    return [
        (f"policy, {found.accepted:,.0f} rows accepted", f"{found.mean:.4f} ± {found.standard_error:.4f}"),
        ("permutations", str(found.permutations)),
        *beside,
        ("share of the way", f"{found.share:.1%}  (must >= {MUST:.0%}: {'met' if found.share >= MUST else 'MISSED'})"),
    ]


def _evaluate(arguments: argparse.Namespace) -> int:
    if arguments.tenant:
        return _judge(arguments)
    folder = arguments.data or settings_from().data_dir or datasets.DEFAULT_FOLDER
    found = evaluate(folder, _bar, tasks_of(arguments.model), arguments.peers)
    title = "Quality of what is learned, on logs of real people"
    if arguments.html:
        arguments.html.write_text(page(title, found.sentences(), found.charts(), found.columns(), found.rows()))
    if arguments.json:
        arguments.json.write_text(json.dumps(found.document(), indent=1) + "\n")
    _show(title, found.columns(), found.rows())
    for sentence in found.remarks():
        print(sentence)
    return 0 if found.met else 1


def _train(arguments: argparse.Namespace) -> int:
    teaching.expect_file(arguments.source, arguments.file, arguments.outcome, arguments.model)
    with _service(arguments.tenant) as (house, service):
        life, log = service.model_life, arguments.source == "events"
        if log:
            told = teaching.taught_by_log(life, arguments.model or list(house.shelf.families), _bar)
        else:
            rows = teaching.examples_in(arguments.file, arguments.outcome, arguments.time, arguments.person, arguments.allow)
            lineage = Lineage(source=arguments.source, file=arguments.file.name, timed=arguments.time is not None)
            told = [teaching.taught_by_table(life, arguments.model[0], rows, lineage)]
    if arguments.json:
        arguments.json.write_text(json.dumps(told, indent=1) + "\n")
    _show(f"Models of {arguments.tenant}", teaching.COLUMNS, teaching.rows_of(told))
    for one in told:
        print(f"{one['model_id']} {one['version']}: " + " ".join(one.get("report", ())))
    return 1 if any(one["status"] == ModelStatus.FAILED for one in told) else 0


def _judge(arguments: argparse.Namespace) -> int:
    with _service(arguments.tenant) as (house, _), _bar("Reading the log") as step:
        found = judging.judge(house.storage, arguments.tenant, SystemClock().now(), arguments.template, arguments.at, step)
    if arguments.json:
        arguments.json.write_text(json.dumps([one.document() for one in found], indent=1) + "\n")
    columns = ("template: candidate", "reward", "95 % interval", "effective", "decisions", "as logged")
    _show("What other policies would have earned a decision", columns, [_judgement_row(one) for one in found])
    for one in found:
        if one.refusal:
            print(f"{one.template_id}, {one.candidate}: {one.refusal}")
    return 0


def _judgement_row(one: judging.Judgement) -> tuple[str, ...]:
    name, rest = f"{one.template_id}: {one.candidate}", (f"{one.decisions:,}", f"{one.logged.value:.4f}")
    if one.estimate is None:
        return (name, "refused", "", "", *rest)
    e = one.estimate
    return (name, f"{e.value:.4f}", f"{e.low:.4f} .. {e.high:.4f}", f"{e.effective_sample_size:,.0f}", *rest)


def _simulate(arguments: argparse.Namespace) -> int:
    names = [name for word in arguments.scenario or USUAL for name in (OFF_POLICY if word == "OPE" else [word])]
    with _bar(f"Simulating {', '.join(names)}") as step:
        found = simulation.simulate(names, arguments.seeds, arguments.messages, arguments.processes, step)
    title = f"The simulated world, {arguments.seeds} policy seeds"
    if arguments.html:
        text = page(title, simulation.sentences(found), simulation.charts(found), simulation.COLUMNS, simulation.rows(found))
        arguments.html.write_text(text)
    if arguments.json:
        arguments.json.write_text(json.dumps([one.document() for one in found], allow_nan=False) + "\n")
    _show(title, simulation.COLUMNS, simulation.rows(found))
    for sentence in simulation.sentences(found):
        print(sentence)
    return 0 if all(one.met for one in found) else 1


def _bench(arguments: argparse.Namespace) -> int:
    title, measure = _BENCHES[arguments.what]
    with _bar("Measuring") as step:
        found = measure(short=arguments.short, progress=step)
    if arguments.html:
        arguments.html.write_text(page(title, found.sentences(), found.charts(), found.columns(), found.rows()))
    if arguments.json:
        print(json.dumps(found.document()))
    else:
        _show(title, found.columns(), found.rows())
        for sentence in found.sentences():
            print(sentence)
    return 0 if found.met else 1


_BENCHES: Mapping[str, tuple[str, Callable[..., Bench | PolicyBench | AllocationBench]]] = {
    "server": ("CPU of the server process, including its followers of the log", bench),
    "policies": ("CPU of a policy's decision", bench_policies),
    "allocation": ("Allocating an audience within budgets, capacities and caps", bench_allocation),
}


def _doctor(_: argparse.Namespace) -> int:
    found = checkup.examine(settings_from)
    for check in found:
        print(f"{'ok     ' if check.ok else 'problem'}  {check.name}: {check.finding}")
        if not check.ok and check.mend:
            print(f"         {check.mend}")
    return 0 if all(check.ok for check in found) else 1


# -- shared ----------------------------------------------------------------------------------------------------------


@contextmanager
def _storage(expect_head: bool = False) -> Iterator[Storage]:
    """The settings' database for a short command, which may run beside a server. Raises MisconfiguredError."""
    storage = bootstrap.opened_storage(bootstrap.with_secrets(settings_from()), SystemClock())
    try:
        if expect_head and storage.life.schema() != "head":
            raise MisconfiguredError("The database has an older schema; run `personalization migrate` first.")
        yield storage
    finally:
        storage.life.close()


@contextmanager
def _bar(what: str) -> Iterator[Step]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(title=title, show_header=any(columns))
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="personalization", description="A decision engine for notifications.")
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name: str, run: Callable[[argparse.Namespace], int], help: str, under: Any = commands) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = under.add_parser(name, help=help, description=help)
        added.set_defaults(run=run)
        return added

    a = command("demo", _demo, "Serve a demo tenant with sample templates and simulated people.")
    a.add_argument("--host", default="127.0.0.1")
    a.add_argument("--port", type=int, help="default: PORT, or 8000; the next free one when it is busy")
    command("serve", _serve, "Serve with gunicorn.")
    command("migrate", _migrate, "Bring the database's schema to head.")

    keys = commands.add_parser("keys", help="Make and revoke API keys.").add_subparsers(required=True, metavar="create|revoke")
    a = command("create", _create_key, "Make an API key, and its tenant when that is new.", keys)
    a.add_argument("--tenant", required=True)
    a.add_argument("--role", required=True, choices=[str(role) for role in Role])
    a.add_argument("--name", default="cli")
    a.add_argument("--json", action="store_true")
    a = command("revoke", _revoke_key, "End an API key.", keys)
    a.add_argument("key_id")

    a = command("import", _import, "Read profiles or events from a .csv, .jsonl or .parquet file; events may be of any age.")
    a.add_argument("what", choices=sorted(importing.IMPORTS))
    a.add_argument("file", type=Path)
    a.add_argument("--tenant", required=True)
    a.add_argument("--rejects", type=Path, help="where rejected rows go; default: FILE.rejects.jsonl")
    a.add_argument("--restart", action="store_true", help="from the first row, though an earlier try was interrupted")

    a = command("export-user", _export_user, "Write everything held of one person as JSON.")
    a.add_argument("--tenant", required=True)
    a.add_argument("--user", required=True)
    a.add_argument("--out", type=Path, help="default: standard output")

    a = command("erase-user", _erase_user, "Forget one person and print the certificate.")
    a.add_argument("--tenant", required=True)
    a.add_argument("--user", required=True)
    a.add_argument("--wait", type=_positive, default=120, help="seconds until the certificate must be there")

    a = command("rebuild", _rebuild, "Derive profiles and learning anew from the log and compare them with what is live.")
    a.add_argument("--check", action="store_true", help="only compare")
    a.add_argument("--tenant")
    a.add_argument("--json", action="store_true")

    a = command("preview", _preview, "Show a template in one language or in all, with what is missing and what is wrong.")
    a.add_argument("template", help="such as offer")
    a.add_argument("--all-locales", action="store_true", help="in every language a variant is written in")
    a.add_argument("--language", help="default: the template's own")
    a.add_argument("--tenant", help="whose template; default: the sample templates")
    a.add_argument("--html", type=Path, help="also write a page with every text to this file")
    a.add_argument("--json", type=Path, help="also write the preview to this file")

    a = command("backtest", _backtest, "Replay a randomised log of real people through the product.")
    a.add_argument("dataset", choices=sorted(datasets.TRIALS))
    a.add_argument("--data", type=Path, help="folder of the gzipped CSV files; default: PERSONALIZATION_DATA")
    a.add_argument("--url", help="a running server; default: in this process")
    a.add_argument("--api-key")
    a.add_argument("--permutations", type=_positive, default=20)
    a.add_argument("--rows", type=_positive)
    a.add_argument("--json", action="store_true")

    a = command("evaluate", _evaluate, "Measure on logs of real people how good what is learned is.")
    a.add_argument("--data", type=Path, help="folder of the gzipped CSV files; default: PERSONALIZATION_DATA")
    a.add_argument(
        "--model",
        help="only the tasks of one model; an unknown name lists them",
    )
    a.add_argument("--peers", action="store_true", help="fit others' libraries in the same folds (extra peers)")
    a.add_argument("--tenant", help="instead: what other policies would have earned, from this tenant's own log")
    a.add_argument("--template", help="of that tenant; default: all")
    a.add_argument(
        "--at", type=instant, help="judge what was learned before this time (RFC 3339) by what came after; default: the middle"
    )
    a.add_argument("--json", type=Path, help="also write the figures to this file")
    a.add_argument("--html", type=Path, help="also write a page with bars and curves to this file")
    a = command("train", _train, "Teach a tenant's predictive models, and say in plain words what came of it.")
    a.add_argument("--from", dest="source", choices=["events", "lake", "csv"], required=True, help="its log, or a table (--file)")
    a.add_argument("--tenant", required=True)
    a.add_argument("--model", nargs="+", default=[], help="default: all that are taught by the log")
    a.add_argument("--file", type=Path, help="of csv: .csv, .csv.gz or .parquet; of lake: a .parquet file or a folder of them")
    a.add_argument("--outcome", help="its column of 0 and 1, or no and yes")
    a.add_argument("--time", help="its column of when each row was; without it rows are shuffled")
    a.add_argument("--person", help="its column of whose each row is")
    a.add_argument("--allow", nargs="+", default=[], metavar="COLUMN", help="columns that may tell the outcome all but alone")
    a.add_argument("--json", type=Path, help="also write the versions to this file")
    a = command("simulate", _simulate, "Run the product in a simulated world whose truth is known.")
    a.add_argument("--scenario", nargs="+", choices=[*SCENARIOS, "OPE"], help="default: A to H; OPE is all three of its logs")
    a.add_argument("--seeds", type=_positive, default=5, help="policy seeds 0, 1, …; C makes 20 runs of each, OPE 40")
    a.add_argument("--messages", type=_positive, help="of each run; fewer than the scenario has leave what is asked unjudged")
    a.add_argument("--processes", type=_positive, default=os.cpu_count() or 1)
    a.add_argument("--html", type=Path, help="also write a page with curves to this file")
    a.add_argument("--json", type=Path, help="also write every figure to this file")

    a = command("bench", _bench, "Measure a server of its own (Linux), the policies alone, or allocation.")
    a.set_defaults(what="server")
    instead = a.add_mutually_exclusive_group()
    instead.add_argument(
        "--policies",
        action="store_const",
        dest="what",
        const="policies",
        help="instead: scoring and drawing without a server, beside mabwiser if installed",
    )
    instead.add_argument(
        "--allocation",
        action="store_const",
        dest="what",
        const="allocation",
        help="instead: allocating 10,000 people to channels and slots, beside exact solvers and a QUBO as far as installed",
    )
    a.add_argument("--short", action="store_true", help="under a minute")
    a.add_argument("--json", action="store_true")
    a.add_argument("--html", type=Path, help="also write a page with bars to this file")

    command("doctor", _doctor, "Check settings, database and surroundings, and say how to mend them.")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
