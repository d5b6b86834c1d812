"""Faults: python -m tests.faults."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import NoReturn

import click

from .report import report, summary
from .rows import Row, load_rows
from .saved import latest, load, save
from .stand import FULL, QUICK, STREAMS, Needs, Stand
from .trial import Trial

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="The short form of the short set, under six minutes.")
@click.option("--short", is_flag=True, help="The short form of each row, with a small load.")
@click.option("--only", multiple=True, metavar="ROW", help="Run this row; may be given several times.")
@click.option("--seed", type=int, help="Repeat the run of this seed.")
@click.option("--list", "is_listed", is_flag=True, help="Name the rows, and end.")
@click.option("--report", "path", type=_FILE, help="Write a report in Markdown.")
@click.option("--save", "kept", type=_FILE, help="Add what is found out to this file; of each row the latest remains.")
@click.option(
    "--saved", type=_FILE, multiple=True, help="Run nothing: report what was saved; may be given several times."
)
@click.option("--mutate", "mutation", metavar="NAME", help="Take out what has to be there: this must go red.")
@click.option("--mutations", is_flag=True, help="Do so with each mutation, and end well if all go red.")
def main(
    *,
    quick: bool,
    short: bool,
    only: tuple[str, ...],
    seed: int | None,
    is_listed: bool,
    path: Path | None,
    kept: Path | None,
    saved: tuple[Path, ...],
    mutation: str | None,
    mutations: bool,
) -> None:
    """Do harm to wsflask under load, and count what was lost, surfaced twice, out of order, leaked or late.

    Ends with status 1 when something was, or when a fault did not really happen.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is stopped then, too
    if mutation or mutations:
        from .mutations import run_mutations

        sys.exit(not run_mutations([mutation] if mutation else None, seed or 1, say))
    rows = load_rows()
    if is_listed:
        for each in rows.values():
            click.echo(f"{each.name:22} {'quick' if each.is_quick else '     '} {each.fault}")
        return
    unknown = [name for name in only if name not in rows]
    if unknown:
        raise click.UsageError(f"there is no row {unknown[0]}; --list names them")
    if saved:
        trials = latest(trial for each in saved for trial in load(each))
        _end([trial for name in rows for trial in trials if trial.row == name], rows, path)
    is_short = quick or short
    chosen = [each for each in rows.values() if each.name in only or (not only and (each.is_quick or not quick))]
    if seed is None:
        seed = random.SystemRandom().randrange(1 << 30)
    say(f"seed {seed}")
    obstacles = {each.name: each.obstacle() for each in chosen}
    for name, obstacle in obstacles.items():
        if obstacle:
            say(f"{name}: not run: {obstacle}")
    _end(_run([each for each in chosen if not obstacles[each.name]], seed, kept, is_short=is_short), rows, path)


def _end(trials: list[Trial], rows: dict[str, Row], path: Path | None) -> NoReturn:
    """Tell what was found out, and end the process."""
    if path is not None:
        path.write_text(report(trials, rows))
    for trial in trials:
        click.echo(f"{trial.row}: {'green' if trial.is_green else 'RED'} in {trial.seconds:.0f} s")
    click.echo(summary(trials))
    sys.exit(not (trials and all(trial.is_green for trial in trials)))


def _run(wanted: list[Row], seed: int, kept: Path | None, *, is_short: bool) -> list[Trial]:
    trials: list[Trial] = []
    groups: dict[Needs, list[Row]] = {}
    for each in wanted:
        groups.setdefault(each.needs, []).append(each)
    for needs, group in groups.items():
        waiting = list(group)
        try:
            with Stand(needs, QUICK if is_short else FULL, seed, say) as stand:
                while waiting:
                    trials.append(_try(waiting[0], stand, seed, is_short=is_short))
                    waiting.pop(0)  # not before: where the stand fails, the row is red, not missing
                    if kept is not None:
                        save(kept, trials[-1:])
        except Exception:
            for each in waiting:
                trial = Trial(each.name, is_short, seed, say)
                trial.check(f"the stand failed: {traceback.format_exc(limit=-2)}", holds=False)
                trials.append(trial)
    order = {each.name: number for number, each in enumerate(wanted)}
    return sorted(trials, key=lambda trial: order[trial.row])


def _try(row: Row, stand: Stand, seed: int, *, is_short: bool) -> Trial:
    say(f"{row.name}: {row.fault}; to repeat: make faults ARGS='--only {row.name} --seed {seed}'")
    trial = Trial(row.name, is_short, seed, say)
    started = time.monotonic()
    try:
        if not row.needs.is_empty:
            missing = sorted(STREAMS - {stream for each in stand.fleet.collect() for stream in each["streams"]})
            trial.check(f"the server has no stream {missing}", not missing)
            stand.go()
        row.act(stand, trial)
        if row.is_judged:
            stand.rest(trial, since=started, may_reset=row.may_reset)
    except Exception:
        trial.check(traceback.format_exc(limit=-4), holds=False)
    finally:
        stand.tell_corrupt(trial)
        stand.tidy()
    trial.seconds, trial.busy = time.monotonic() - started, os.getloadavg()[0]
    if not trial.is_green:
        for line in stand.server.log().splitlines()[-15:]:
            say(f"  | {line[:240]}")
    say(f"{row.name}: {'green' if trial.is_green else 'RED'} in {trial.seconds:.0f} s, {trial.counts()}")
    return trial


def say(text: str) -> None:
    """Tell what happens, beside the output."""
    click.echo(f"{time.strftime('%H:%M:%S')} {text}", err=True)


if __name__ == "__main__":
    main()
