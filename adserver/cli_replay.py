"""`adserver replay`: recorded decisions held again, as they were or by another policy."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from adserver.auctions.other_model import OtherModel
from adserver.auctions.sample import Damage
from adserver.catalogue.snapshot import SnapshotError
from adserver.cli_labels import wall_ms
from adserver.cli_refusals import settings_given
from adserver.cli_tables import tables
from adserver.deadline import wall
from adserver.errors import ConfigError
from adserver.releases.registry import RegistryError
from adserver.settings import Settings
from feedback.compaction import compact
from feedback.labels.build import labels
from feedback.labels.settings import LabelSettings, Window
from feedback.policy.policies import FORMS, Policy, policy_of
from feedback.policy.recorded import Kept, Repeated, Trial, clicked_of
from feedback.policy.report import GREEDY, Finding, as_json, findings, findings_table
from feedback.replay.changes import Changes
from ranking.bundle import BundleError

BASELINE = "baseline"
_MODEL = re.compile(r"model=(\d{1,9})")
console = Console()


def replay(
    policy: Annotated[list[str], typer.Option(help=f"{FORMS}; may be given several times.")],
    data: Annotated[Path | None, typer.Option(help="Data folder; this server's if empty.")] = None,
    since: Annotated[str, typer.Option(help="ISO date or time, UTC; all if empty.")] = "",
    until: Annotated[str, typer.Option(help="Its end, not included; now if empty.")] = "",
    clip: Annotated[float, typer.Option(min=1, help="Greatest weight of what was shown.")] = 50,
    as_lines: Annotated[bool, typer.Option("--json", help="The figures as JSON.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the JSON to this file too.")] = None,
) -> None:
    """What another policy would have earned, from recorded auctions and logged probabilities.

    baseline must sell each slot again to the same ad at the same price, or the command ends in 1.
    The others are estimated (IPS, SNIPS, doubly robust) from what was shown and clicked; nothing is
    told of a policy that is too far from all that was shown.
    """
    with settings_given() as given:
        settings = replace(given, adserver_data=data or given.adserver_data)
        names = [one for one in policy if one != BASELINE]
        policies = [_policy(one, settings) for one in names]
        kept = Kept(
            settings.auctions,
            wall_ms(since, "--since") if since else 0,
            wall_ms(until, "--until") if until else int(wall() * 1000),
            settings.auction_sample_one_in,
        )
        repeated = _repeated(kept, settings) if BASELINE in policy else None
        trial = _tried(kept, settings, policies) if policies else None
    _tell(repeated, trial, findings(trial, clip) if trial else [], as_lines, out)
    if repeated is not None and not repeated.exact:
        raise typer.Exit(1)


def _policy(name: str, settings: Settings) -> Policy:
    version = _MODEL.fullmatch(name)
    if version is None:
        return policy_of(name, settings.squash_reference_ppm)
    try:
        model = OtherModel.open(settings, int(version[1]))
    except (RegistryError, BundleError, SnapshotError) as error:
        raise ConfigError([f"--policy {name}: {error}"]) from None
    return Policy(name, Changes(), rates=model.rates)


def _repeated(kept: Kept, settings: Settings) -> Repeated:
    repeated, damage = Repeated(), Damage()
    for page in kept.pages(damage):
        repeated.see(page, settings.auction)
    _refuse_nothing(repeated.pages)
    return repeated


def _tried(kept: Kept, settings: Settings, policies: list[Policy]) -> Trial:
    folder = settings.adserver_data
    compact(folder / "events", folder / "warehouse")
    times = [int(page.notes.at_ms[0]) for page in kept.pages()]
    _refuse_nothing(len(times))
    window = Window(min(times), max(times) + 1, kept.until_ms)
    found, _ = labels(folder / "warehouse", settings.features, window, LabelSettings())
    usual = [] if GREEDY in {one.name for one in policies} else [policy_of(GREEDY)]
    trial = Trial([*usual, *policies], settings.auction, clicked_of(found), kept.one_in)
    for page in kept.pages():
        trial.see(page)
    return trial


def _refuse_nothing(pages: int) -> None:
    if not pages:
        raise ConfigError(["no auctions are kept of that time"])


def _tell(
    repeated: Repeated | None,
    trial: Trial | None,
    found: list[Finding],
    as_lines: bool,
    out: Path | None,
) -> None:
    told = {
        "baseline": None
        if repeated is None
        else {
            "pages": repeated.pages,
            "slots": repeated.slots,
            "alike": repeated.alike,
            "exact": repeated.exact,
        },
        "pages": trial.pages if trial else 0,
        "without_outcome": trial.unlabelled if trial else 0,
        "without_context": trial.unjudged if trial else 0,
        "policies": as_json(found),
    }
    text = orjson.dumps(told, option=orjson.OPT_INDENT_2).decode()
    if out is not None:
        out.write_text(text + "\n")
    if as_lines:
        typer.echo(text)
        return
    if repeated is not None:
        share = repeated.alike / max(1, repeated.slots)
        console.print(
            f"baseline: {repeated.pages:,} pages held again, {repeated.alike:,} of "
            f"{repeated.slots:,} slots sold as they were ({share:.4%})"
        )
    if trial is not None:
        tables().print(findings_table(found))
        console.print(f"{trial.pages:,} pages, {trial.unlabelled:,} without a known outcome")
