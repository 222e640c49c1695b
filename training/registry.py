"""Registered models: versions, the aliases champion and challenger, and what was champion before.

A churn and a value model that score together share one gate, so the aliases of both move together: every change of
champions is a state such as `{"churn": "3", "value": "2"}`, and the states before are kept as a tag of both models.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, Schema, TensorSpec
from tqdm import tqdm

from features.config import Config
from features.errors import DataError, RefusedError, UsageError
from training import bundle as bundle_code
from training.bundle import BundleError, ModelBundle
from training.record import Record
from training.tracking import UNKNOWN, answering, connect, evaluation_of, quiet, store_of, write, write_figures

__all__ = ["Champion", "Registered", "champion", "connect", "evaluation_of", "log", "rollback", "store_of"]

ALIAS, CHALLENGER = "champion", "challenger"
DIGEST, GATE, HISTORY = "regulars.digest", "regulars.gate", "regulars.champions"
KINDS = ("churn", "value")
LONGEST_HISTORY = 100
LONGEST_DESCRIPTION = 4800  # of MLflow's database: 5000
HERE = Path(__file__).parent
CARRIED = ("lightgbm", "mlflow", "numpy", "pandas", "pyarrow")
State = dict[str, str]


@dataclass(frozen=True)
class Registered:
    """A registered model version.

    Attributes:
        name: The registered model.
        version: The number.
        run_id: The run that made it.
        new: Whether this training made it.
        champion: Whether it scores.
        model_id: MLflow's id of what this training logged; empty where it did not.
    """

    name: str
    version: str
    run_id: str
    new: bool
    champion: bool = False
    model_id: str = ""

    @property
    def label(self) -> str:
        """As score tables name it.

        >>> Registered("shop-churn", "3", "", True).label
        'shop-churn/3'
        """
        return f"{self.name}/{self.version}"

    @property
    def kind(self) -> str:
        """'churn' or 'value'.

        >>> Registered("shop-churn", "3", "", True).kind
        'churn'
        """
        return self.name.rsplit("-", 1)[1]


@dataclass(frozen=True)
class Champion:
    """The model that scores: its bundle and its version, and the models that were judged in its stead.

    Attributes:
        judge: It learned only from cutoffs whose labels end by the last one; None where the version carries none.
    """

    bundle: ModelBundle
    version: Registered
    judge: ModelBundle | None = None


@dataclass(frozen=True)
class Moved:
    """A change of champions: labels before and after, by kind."""

    before: State
    after: State


def log(record: Record, config: Config) -> tuple[Registered, ...]:
    """Writes a training into MLflow as a run, and registers its models as challengers.

    A model that is equal to a registered one in every bit is not registered again: that version is returned.

    Raises:
        UsageError: The store does not answer; what the record holds is still in its folder.
    """
    client = connect(config)
    bar = tqdm(total=1 + len(record.kinds), desc="logging to MLflow", leave=False, disable=None)
    with quiet(), answering(), bar, mlflow.start_run(run_name=f"train {record.cutoff}") as run:
        write(client, run, record)
        bar.update()
        made = []
        for kind in record.kinds:
            made.append(_register(client, run.info.run_id, record, kind))
            bar.update()
        write_figures(client, run, record, {v.kind: v.model_id for v in made if v.new})
        return tuple(made)


def champion(config: Config, kind: str, alias: str = ALIAS) -> Champion | None:
    """The champion of 'churn' or 'value', or None where there is none.

    Raises:
        DataError: What is registered under its name is not a whole model of ours.
        UsageError: The store does not answer.
    """
    client = connect(config)
    name = f"{config.name}-{kind}"
    with quiet(), answering(), tempfile.TemporaryDirectory() as folder:
        found = _aliased(client, name, alias)
        if found is None:
            return None
        uri = f"models:/{name}/{found.version}"
        path = Path(mlflow.artifacts.download_artifacts(uri, dst_path=folder)) / "artifacts"
        try:
            bundle = ModelBundle.load(path / "bundle")
            judge = ModelBundle.load(path / "judge") if (path / "judge").exists() else None
        except BundleError as problem:
            raise DataError(f"{name} version {found.version}: {problem}") from None
    label = Registered(name, str(found.version), found.run_id or "", new=False, champion=alias == ALIAS)
    return Champion(bundle, label, judge)


def params_of(config: Config, run_id: str) -> dict[str, str]:
    """The parameters of a run; empty where it is gone."""
    client = connect(config)
    with quiet(), answering():
        try:
            return dict(client.get_run(run_id).data.params)
        except MlflowException as problem:
            if problem.error_code in UNKNOWN:
                return {}
            raise


def crown(config: Config, versions: tuple[Registered, ...]) -> tuple[Registered, ...]:
    """Makes registered versions the champions, all of them together; they are challengers no more.

    Raises:
        RefusedError: Another model's champion, which stays, would have another gate than theirs.
        UsageError: The store does not answer.
    """
    client = connect(config)
    with quiet(), answering():
        now, past = _state(client, config), _history(client, config)
        if now and past[-1:] != [now]:  # the alias was set by another hand than ours
            past = [*past, now]
        _move(client, config, now, {**now, **{v.kind: v.version for v in versions}}, past)
        for v in versions:
            challenger = _aliased(client, v.name, CHALLENGER)
            if challenger is not None and str(challenger.version) == v.version:
                client.delete_registered_model_alias(v.name, CHALLENGER)
    return tuple(replace(v, champion=True) for v in versions)


def promote(config: Config, which: str = "all") -> Moved:
    """Makes the challengers champions by hand, whatever the gates said.

    Args:
        config: The business.
        which: 'churn', 'value', or 'all' that have a challenger.

    Raises:
        RefusedError: The champions would not share one gate.
        UsageError: There is no challenger, or the store does not answer.
    """
    client = connect(config)
    with quiet(), answering():
        before = _state(client, config)
        found = _state(client, config, CHALLENGER)
    wanted = {kind: v for kind, v in found.items() if which in ("all", kind)}
    if not wanted:
        raise UsageError(
            f"{config.name} has no challenger{'' if which == 'all' else f' for {which}'}: `regulars train` makes one, "
            "unless it comes out as the champion is"
        )
    crown(config, tuple(Registered(f"{config.name}-{k}", v, "", new=False) for k, v in wanted.items()))
    return Moved(_labels(config, before), _labels(config, {**before, **wanted}))


def rollback(config: Config, which: str = "all") -> Moved:
    """Puts the alias champion back on the versions that had it before; called again, it goes further back.

    Args:
        config: The business.
        which: 'all', or 'churn' or 'value' alone where the other has the same gate.

    Raises:
        RefusedError: The champions would not share one gate.
        UsageError: There is nothing to go back to, or the store does not answer.
    """
    client = connect(config)
    with quiet(), answering():
        now = _state(client, config)
        history = [state for state in _history(client, config) if _is_there(client, config, state)]
        place = _before(history, now, which)
        if place is None:
            what = ", ".join(_labels(config, now).values()) or "no model"
            raise UsageError(
                f"nothing to go back to: {what} is champion, and no other{'' if which == 'all' else f' {which}'} model "
                f"was before it; `regulars promote` makes a challenger champion"
            )
        then = history[place] if which == "all" else {**now, which: history[place][which]}
        _move(client, config, now, then, history[:place])
    return Moved(_labels(config, now), _labels(config, then))


def _before(history: list[State], now: State, which: str) -> int | None:
    """The place of the newest state that differs from the one now, in all or in one kind."""
    for place in reversed(range(len(history))):
        state = history[place]
        if state != now if which == "all" else state.get(which) not in (None, now.get(which)):
            return place
    return None


def _move(client: MlflowClient, config: Config, now: State, then: State, past: list[State]) -> None:
    """Sets the aliases to a state, and writes down the states before it."""
    _refuse_two_gates(client, config, then)
    history = json.dumps([*past, then][-LONGEST_HISTORY:])
    for kind in (kind for kind in KINDS if kind in {**now, **then}):
        name = f"{config.name}-{kind}"
        client.set_registered_model_tag(name, HISTORY, history)
        if kind in then:
            client.set_registered_model_alias(name, ALIAS, then[kind])
        else:
            client.delete_registered_model_alias(name, ALIAS)


def _refuse_two_gates(client: MlflowClient, config: Config, then: State) -> None:
    versions = {kind: client.get_model_version(f"{config.name}-{kind}", number) for kind, number in then.items()}
    gates = {found.tags.get(GATE, "") for found in versions.values()}
    if len(gates) > 1:
        both = " and ".join(_labels(config, then).values())
        raise RefusedError(
            f"{both} do not share one gate, so their numbers would contradict each other: they are champions together "
            "or not at all; leave out 'churn' or 'value' from the command to move both"
        )


def _state(client: MlflowClient, config: Config, alias: str = ALIAS) -> State:
    """The numbers of the versions that have an alias, by kind."""
    found = {kind: _aliased(client, f"{config.name}-{kind}", alias) for kind in KINDS}
    return {kind: str(v.version) for kind, v in found.items() if v is not None}


def _labels(config: Config, state: State) -> State:
    return {kind: f"{config.name}-{kind}/{number}" for kind, number in state.items()}


def _history(client: MlflowClient, config: Config) -> list[State]:
    """The states of champions, oldest first; the longer of what the two models say."""
    texts = []
    for kind in KINDS:
        found = client.search_registered_models(f"name = '{config.name}-{kind}'")
        texts += [json.loads(model.tags.get(HISTORY, "[]")) for model in found]
    return max(texts, key=len, default=[])


def _is_there(client: MlflowClient, config: Config, state: State) -> bool:
    """Whether no version of a state was deleted since."""
    for kind, number in state.items():
        if not client.search_model_versions(f"name = '{config.name}-{kind}' and version_number = {int(number)}"):
            return False
    return True


def _register(client: MlflowClient, run_id: str, record: Record, kind: str) -> Registered:
    bundle, name = record.bundle(kind), f"{record.facts['name']}-{kind}"
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    equal = client.search_model_versions(f"name = '{name}' and tags.`{DIGEST}` = '{bundle.digest}'")
    current = _aliased(client, name, ALIAS)
    if equal:
        number, from_run, model_id = str(equal[0].version), equal[0].run_id or run_id, ""
    else:
        (number, model_id), from_run = _new_version(client, run_id, record, bundle, name), run_id
    here = current is not None and str(current.version) == number
    if not here:
        client.set_registered_model_alias(name, CHALLENGER, number)
    return Registered(name, number, from_run, new=not equal, champion=here, model_id=model_id)


def _new_version(client: MlflowClient, run_id: str, record: Record, bundle: ModelBundle, name: str) -> tuple[str, str]:
    """Logs and registers a model; returns the version's number and MLflow's id of the model."""
    values = {k: np.nan if v is None else v for k, v in record.facts["examples"][bundle.kind].items()}
    example = pd.DataFrame([values])
    with tempfile.TemporaryDirectory() as folder:
        saved, judge = bundle.save(Path(folder) / "bundle"), record.judge.save(Path(folder) / "judge")
        shutil.copy(str(bundle_code.__file__), saved / "bundle.py")
        logged = mlflow.pyfunc.log_model(
            name=bundle.kind,
            python_model=str(HERE / "pyfunc_model.py"),
            artifacts={"bundle": str(saved), "judge": str(judge)},
            signature=_signature(bundle, example),
            input_example=example,
            pip_requirements=[f"{package}=={version(package)}" for package in CARRIED],
        )
    tags, card = {DIGEST: bundle.digest, GATE: bundle.gate_digest}, _description(record.card)
    made = client.create_model_version(
        name, logged.model_uri, run_id, tags=tags, description=card, model_id=logged.model_id
    )
    client.update_registered_model(name, card)
    return str(made.version), str(logged.model_id or "")


def _description(card: str) -> str:
    """As much of the card as MLflow's database holds, whole lines."""
    if len(card) <= LONGEST_DESCRIPTION:
        return card
    return card[:LONGEST_DESCRIPTION].rpartition("\n")[0] + "\n\n(The whole card is `model_card.md` of the run.)"


def _aliased(client: MlflowClient, name: str, alias: str) -> Any:
    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as problem:
        if problem.error_code in UNKNOWN:
            return None
        raise


def _signature(bundle: ModelBundle, example: pd.DataFrame) -> ModelSignature:
    """Text for the columns of levels, numbers for the others: said by the bundle, not guessed from an example."""
    columns: list[ColSpec | TensorSpec] = [
        ColSpec("string" if name in bundle.levels else "double", name) for name in bundle.features
    ]
    said = infer_signature(model_output=pd.DataFrame(bundle.predict(example)))
    return ModelSignature(inputs=Schema(columns), outputs=said.outputs)
