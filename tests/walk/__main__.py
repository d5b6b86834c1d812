"""Walk: python -m tests.walk."""

from gevent import monkey

monkey.patch_all()

import random
import signal
import sys
import time

import click

from .breaks import BREAKS
from .features import FEATURES, Options, chosen
from .run import Walk

#: Minutes of a quick walk, and of each seed of a full one.
_QUICK, _FULL, _SEEDS = 2.2, 10.0, 3


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="One seed, under three minutes.")
@click.option("--seed", type=int, multiple=True, help="Repeat the walk of this seed; may be given several times.")
@click.option("--minutes", type=float, help="How long each seed walks.")
@click.option("--clients", default=50, show_default=True)
@click.option("--rate", default=150.0, show_default=True, help="Writes a second.")
@click.option("--round", "seconds", default=20.0, show_default=True, help="Seconds between two rests.")
@click.option("--without", multiple=True, type=click.Choice(sorted(FEATURES)), help="Leave this out.")
@click.option("--break", "breaks", type=click.Choice(sorted(BREAKS)), default="nothing", help="Misbehave: must fail.")
def main(
    *,
    quick: bool,
    seed: tuple[int, ...],
    minutes: float | None,
    clients: int,
    rate: float,
    seconds: float,
    without: tuple[str, ...],
    breaks: str,
) -> None:
    """Have clients watch documents that change at random, and compare what they have with what they should.

    Ends with status 1 when rows differ, or when somebody heard what was not his.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is stopped then, too
    seeds = seed or tuple(random.SystemRandom().randrange(1 << 30) for _ in range(1 if quick else _SEEDS))
    summaries = []
    is_right = True
    for each in seeds:
        options = Options(
            seed=each,
            seconds=60 * (minutes or (_QUICK if quick else _FULL)),
            clients=clients,
            rate=rate,
            round=seconds,
            features=chosen(without),
            breaks=breaks,
        )
        say(f"seed {each}; to repeat: {_command(options, without)}")
        with Walk(options, say) as walk:
            is_right &= walk.run()
            summaries.append(walk.summary())
    for summary in summaries:
        click.echo(summary)
    sys.exit(not is_right)


def _command(options: Options, without: tuple[str, ...]) -> str:
    arguments = [f"--seed {options.seed} --minutes {options.seconds / 60:g} --clients {options.clients}"]
    arguments += [f"--rate {options.rate:g} --round {options.round:g}"]
    arguments += [f"--without {name}" for name in without]
    if options.breaks != "nothing":
        arguments.append(f"--break {options.breaks}")
    return f'make walk ARGS="{" ".join(arguments)}"'


def say(text: str) -> None:
    """Tell what happens, beside the output."""
    click.echo(f"{time.strftime('%H:%M:%S')} {text}", err=True)


if __name__ == "__main__":
    main()
