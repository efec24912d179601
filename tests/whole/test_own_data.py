"""From a file to predictions on raw rows in another process, and the score there."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen
from typing import Any, NamedTuple

import empty_mlflow
import numpy as np
import pandas as pd
import preloaded
import psutil
import pytest
from PIL import Image
from ports import free_port
from sklearn.metrics import accuracy_score, roc_auc_score, root_mean_squared_error

from pipeline.paths import Project
from pipeline.preparation.cache import prepare
from pipeline.study.load import load

REPOSITORY = Path(__file__).parents[2]
N = 260
SPACE = """
[budget]
trials = 5
[sampler]
type = "RandomSampler"
seed = 1
[fixed]
hidden_layers = 1
units = 12
optimizer = "adam"
batch_size = 16
epochs = 3
[space]
learning_rate = { type = "float", low = 1e-3, high = 3e-2, log = true }
"""
FEW = SPACE.replace("trials = 5", "trials = 2")
SIMPLE = """
reference = [
  { name = "mean", trainer = "constant" },
  { name = "linear", trainer = "linear" },
  { name = "trees", trainer = "gradient_boosting" },
]
"""
STUDIES = {
    "häuser": f"""
        goal = "Prices."
        dataset = "../häuser.csv"
        target = "Preis/€"
        metric = "rmse"
        {SIMPLE}
        [data]
        target_transform = "log"
        drop = ["verkauft?"]
        types = {{ Lage = "category" }}
        {SPACE}""",
    "sold": f"""
        goal = "Is it sold?"
        dataset = "../häuser.csv"
        target = "verkauft?"
        metric = "roc_auc"
        [data]
        folds = 2
        drop = ["Preis/€"]
        types = {{ Lage = "category" }}
        {FEW}""",
    "colours": f"""
        goal = "Tell colours apart."
        dataset = "../colours.npz"
        {FEW}""",
}

# What somebody does with an export who has nothing else: the blocks of the card, a file of rows,
# the model in MLflow, and what a service is sent. Runs in the folder of the export.
USER = """
import json, pathlib, re, sys
card = pathlib.Path("MODEL_CARD.md").read_text(encoding="utf-8")
shown = {}
images = None
if len(sys.argv) > 1:  # pictures
    import numpy
    images = numpy.load(sys.argv[1])
for block in re.findall(r"```python\\n(.*?)```", card, re.S):
    exec(block, shown | {"images": images} if images is not None else shown, shown)
name = pathlib.Path.cwd().name
if images is not None:
    print(json.dumps({"answers": shown["probabilities"].tolist()}))
    sys.exit()
import mlflow, numpy, pandas
from mlflow.pyfunc.scoring_server import infer_and_parse_data
predict, model = shown["predict"], shown["model"]
given = {"sep": ";", "encoding": "cp1252"}
texts = pandas.read_csv("rows.csv", **given, dtype=str, keep_default_na=False)
read = pandas.read_csv("rows.csv", **given, decimal=",")
nothing = pandas.DataFrame({each: [None, "never seen"] for each in ("Ort", "Lage")}).assign(
    **dict.fromkeys(["Wohnfläche (m²)", "Zimmer", "Baujahr", "frei ab"]))
registered = mlflow.pyfunc.load_model(f"models:/{name}@champion")
inputs = registered.metadata.get_input_schema()
rows = read[inputs.input_names()].astype(object).where(read.notna(), None)
body = {"dataframe_split": rows.to_dict("split")}
sent = infer_and_parse_data(json.loads(json.dumps(body)), inputs)
answers = {
    "answers": predict.answer_table(model, texts),
    "file": predict.answer_table(model, predict.read("rows.csv", model)),
    "read": predict.answer_table(model, read),
    "texts": registered.predict(texts),
    "registered": registered.predict(read),
    "served": registered.predict(sent),
    "nothing": registered.predict(nothing),
}
example = {
    "table": shown["answers"].to_numpy()[:, -1].tolist(),
    "tensors": numpy.asarray(shown.get("numbers", shown.get("probabilities")))[:, -1].tolist(),
}
print(json.dumps({
    **{key: found.to_numpy().tolist() for key, found in answers.items()},
    "names": [[*found.columns] for found in answers.values()],
    "example": example,
    "of_the_package": [each for each in sys.modules if each.partition(".")[0] == "pipeline"],
}))
"""


class Handed(NamedTuple):
    """What was handed over of a study, and what its test part is."""

    folder: Path
    metrics: dict[str, Any]
    answers: dict[str, Any]
    rows: pd.DataFrame


def write_table(path: Path) -> None:
    """Writes a table as a German spreadsheet does, with holes and a value that is rare."""
    rng = np.random.default_rng(0)
    area, town = rng.uniform(30, 200, N), rng.choice(["Köln", "Bonn", "Essen"], N)
    town[5] = "Ahlen"
    price = np.exp(11 + area / 100 + (town == "Köln") * 0.5 + rng.normal(0, 0.1, N))
    days = pd.Timestamp("2020-02-01") + pd.to_timedelta(rng.integers(0, 900, N), "D")
    rows = pd.DataFrame(
        {
            "Wohnfläche (m²)": area.round(
                3
            ),  # 123,456: alone it could be a thousand times as large
            "Zimmer": rng.integers(1, 8, N),
            "Ort": town,
            "Baujahr": rng.integers(1950, 2024, N),
            "Lage": rng.choice(["1", "2", "3"], N),
            "frei ab": days.strftime("%d.%m.%Y"),
            "verkauft?": np.where(area + rng.normal(0, 30, N) > 110, "ja", "nein"),
            "Preis/€": price.round(2),
        }
    )
    for name in ("Wohnfläche (m²)", "Ort", "frei ab"):
        rows.loc[rng.random(N) < 0.07, name] = None
    rows.to_csv(path, sep=";", decimal=",", index=False, encoding="cp1252")


def write_pictures(path: Path) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 240)
    x = rng.integers(0, 120, (240, 9, 7, 3))
    x[np.arange(240), ..., y] += 90
    np.savez(path, x=x.astype(np.uint8), y=np.array(["red", "green", "blue"])[y])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    folder = tmp_path_factory.mktemp("own")
    empty_mlflow.copy_into(folder, empty_database)
    (folder / "studies").mkdir()
    for name, text in STUDIES.items():
        (folder / "studies" / f"{name}.toml").write_text(text, encoding="utf-8")
    write_table(folder / "häuser.csv")
    write_pictures(folder / "colours.npz")
    return folder


def environment(folder: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return {**kept, "PIPELINE_DATA_DIR": str(folder / "cache")}


def with_package(folder: Path) -> dict[str, str]:
    return {**environment(folder), "PYTHONPATH": str(REPOSITORY)}


def run(folder: Path, *arguments: str) -> str:
    """Runs a command, or code that has no part in this package; returns what it prints."""
    variables = with_package(folder) if arguments[0] == "-m" else environment(folder)
    done = preloaded.run(arguments, folder, variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_afresh(
    folder: Path, variables: dict[str, str], *arguments: str, stdin: bytes = b""
) -> str:
    """Does the same in a process that has imported nothing before."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=variables, input=stdin, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def predicted(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """What the command answers, as JSON."""
    return from_lines(run(folder, "-m", "pipeline.predict", *arguments, "--json"))


def from_lines(said: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.splitlines()]


def hand_over(project: Path, name: str, patch: pytest.MonkeyPatch, *flags: str) -> Handed:
    """Searches and exports as commands do, and answers the test part as somebody else does."""
    run(project, "-m", "pipeline.search", name, "--workers", "1")
    run(project, "-m", "pipeline.best", name, "--export", *flags)
    folder = project / "exports" / name
    patch.chdir(project)
    patch.setenv("PIPELINE_DATA_DIR", str(project / "cache"))
    spec = load(Project(project), name)
    numbers = np.load(prepare(spec.data_spec).folder / "rows.npy")
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project}/mlruns/mlflow.db")
    given = []
    if name == "colours":
        archive = np.load(project / "colours.npz")
        rows = pd.DataFrame({"y": archive["y"][numbers]})
        given = [str(project / "images.npy")]
        np.save(given[0], archive["x"][numbers])
    else:
        form: dict[str, Any] = {"sep": ";", "encoding": "cp1252"}
        rows = pd.read_csv(project / "häuser.csv", **form, dtype=str, keep_default_na=False)
        rows = rows.iloc[numbers]
        rows.drop(columns=spec.target).to_csv(folder / "rows.csv", **form, index=False)
    answers = json.loads(
        run_afresh(folder, environment(folder), "-c", USER, *given).splitlines()[-1]
    )
    metrics = json.loads((folder / "metrics.json").read_text())
    return Handed(folder, metrics, answers, rows)


@pytest.fixture(scope="module")
def houses(project: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        yield hand_over(project, "häuser", patch)


@pytest.fixture(scope="module")
def sold(project: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        yield hand_over(project, "sold", patch, "--only-keras")


@pytest.fixture(scope="module")
def colours(project: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        yield hand_over(project, "colours", patch, "--only-keras")


def test_a_regression_answers_raw_rows_as_well_as_its_report_says(houses: Handed) -> None:
    prices = houses.rows["Preis/€"].str.replace(",", ".").astype(float)
    score = root_mean_squared_error(prices, houses.answers["answers"])
    assert score == pytest.approx(houses.metrics["test"]["rmse"], rel=1e-4)
    assert len(prices) == houses.metrics["test"]["n_examples"]
    assert houses.answers["names"] == [["Preis/€"]] * 7


def test_two_classes_with_folds_do_so_too(sold: Handed) -> None:
    answers = np.array(sold.answers["answers"])
    score = roc_auc_score(sold.rows["verkauft?"] == "nein", answers[:, 1])
    assert score == pytest.approx(sold.metrics["test"]["roc_auc"], rel=1e-4)
    assert sold.answers["names"] == [["ja", "nein"]] * 7
    np.testing.assert_allclose(answers.sum(axis=1), 1, rtol=1e-6)
    assert sold.metrics["validation"]["n_examples"] + len(answers) == N
    assert "The model is the mean of 2 networks" in (sold.folder / "MODEL_CARD.md").read_text()


@pytest.mark.parametrize("name", ["houses", "sold"])
def test_all_ways_to_ask_give_the_same(name: str, request: pytest.FixtureRequest) -> None:
    answers = request.getfixturevalue(name).answers
    for way in ("file", "read", "texts", "registered", "served"):
        np.testing.assert_allclose(answers[way], answers["answers"], rtol=1e-5, err_msg=way)
    assert np.isfinite(answers["nothing"]).all()  # though all is missing, or unseen
    assert answers["example"]["table"] == pytest.approx(answers["example"]["tensors"], rel=1e-5)
    assert answers["of_the_package"] == []


def test_the_doctor_finds_such_a_model_in_order(houses: Handed, sold: Handed) -> None:
    root = sold.folder.parents[1]
    for name in ("häuser", "sold"):
        assert "all in order" in run(root, "-m", "pipeline.doctor", name)


def test_the_card_tells_of_the_columns_and_the_data(houses: Handed) -> None:
    card = (houses.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert re.search(r"^\| frei ab \| date, as %d\.%m\.%Y \| `\d\d\.\d\d\.202\d` \|$", card, re.M)
    assert re.search(r"^\| Wohnfläche \(m²\) \| number \| `\d+(\.\d+)?` \|$", card, re.M)
    assert "- decimal sign ,\n" in card
    assert "gives\nPreis/€ in units of its own." in card


def test_pictures_in_colour_are_answered_as_well_as_the_report_says(colours: Handed) -> None:
    names = np.array(["blue", "green", "red"])  # in the card's order
    for i, name in enumerate(names):
        assert f"\n{i}. {name}\n" in (colours.folder / "MODEL_CARD.md").read_text()
    said = names[np.argmax(colours.answers["answers"], axis=1)]
    score = accuracy_score(colours.rows["y"], said)
    assert score == pytest.approx(colours.metrics["test"]["accuracy"], rel=1e-4)
    assert not (colours.folder / "predict.py").exists()


def test_the_command_predicts_values_with_intervals(houses: Handed) -> None:
    project, file = houses.folder.parents[1], houses.folder / "rows.csv"
    looks = houses.metrics["test"]
    found = predicted(project, "häuser", str(file))
    assert [each["row"] for each in found] == [*range(1, len(houses.rows) + 1)]
    values = [each["value"] for each in found]
    np.testing.assert_allclose(values, np.ravel(houses.answers["answers"]), rtol=1e-5)
    prices = houses.rows["Preis/€"].str.replace(",", ".").astype(float)
    held = [
        each["low"] <= price <= each["high"] for each, price in zip(found, prices, strict=True)
    ]
    assert 0.8 <= np.mean(held) <= 1
    ratio = found[0]["high"] / found[0]["value"]
    assert ratio == pytest.approx(found[0]["value"] / found[0]["low"])  # the target is a logarithm
    said = run(project, "-m", "pipeline.predict", "häuser", str(file)).splitlines()
    assert said[0].split() == ["input", "Preis/€", "95", "%", "interval"]
    assert len(said) == len(found) + 1
    assert max(map(len, said)) <= 80
    again = json.loads(run(project, "-m", "pipeline.best", "häuser", "--json"))
    assert again["test"] == looks


def test_the_command_predicts_two_classes_from_stdin(sold: Handed) -> None:
    rows = (sold.folder / "rows.csv").read_bytes()
    project = sold.folder.parents[1]
    command = ("-m", "pipeline.predict", "sold", "-", "--json")
    found = from_lines(run_afresh(project, with_package(project), *command, stdin=rows))
    names = [*found[0]["probabilities"]]
    assert names == ["ja", "nein"]
    np.testing.assert_allclose(
        [[*each["probabilities"].values()] for each in found], sold.answers["answers"], rtol=1e-5
    )
    for each in found:
        assert each["class"] == names[np.argmax([*each["probabilities"].values()])]
        assert each["probability"] == max(each["probabilities"].values())
        assert each["input"] == "stdin"


def test_the_command_predicts_pictures_and_arrays(project: Path, colours: Handed) -> None:
    images = np.load(project / "images.npy")
    expected = np.array(colours.answers["answers"])
    (project / "pictures").mkdir()
    for i in range(3):
        Image.fromarray(images[i]).save(project / "pictures" / f"{i}.png")
    Image.fromarray(images[3]).resize((70, 90), Image.Resampling.NEAREST).save(project / "3.tiff")
    np.save(project / "one.npy", images[4] / 255)
    given = ["images.npy", "pictures", "3.tiff", "one.npy"]
    found = predicted(project, "colours", *given)
    assert [each["input"] for each in found[len(images) :]] == [
        "pictures/0.png", "pictures/1.png", "pictures/2.png", "3.tiff", "one.npy"
    ]  # fmt: skip
    answers = np.array([[*each["probabilities"].values()] for each in found])
    np.testing.assert_allclose(answers[: len(images)], expected, atol=1e-5)
    np.testing.assert_allclose(answers[len(images) : -2], expected[:3], atol=1e-5)
    np.testing.assert_allclose(answers[-2], expected[3], atol=0.05)
    np.testing.assert_allclose(answers[-1], expected[4], atol=1e-4)


def test_what_cannot_be_answered_leaves_all_unanswered(houses: Handed) -> None:
    project = houses.folder.parents[1]
    (project / "bad.csv").write_text("Zimmer;Ort\n3;Bonn\n")
    command = ("-m", "pipeline.predict", "häuser", str(houses.folder / "rows.csv"), "bad.csv")
    done = preloaded.run(command, project, with_package(project))
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: bad\.csv: missing columns: \[.*\], found: .*\n", done.stderr)


@pytest.fixture
def served(houses: Handed, tmp_path: Path) -> Iterator[tuple[Path, int, str, Popen[str]]]:
    """A server of a project that was copied elsewhere; where, its port, and its example."""
    copy, port = tmp_path / "copy", free_port()
    shutil.copytree(houses.folder.parents[1], copy)
    variables = with_package(copy)
    del variables["MLFLOW_TRACKING_URI"]  # of the project that was copied
    server = subprocess.Popen(
        [sys.executable, "-m", "pipeline.serve", "häuser", "--port", str(port)],
        cwd=copy,
        env=variables,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stderr
        said: list[str] = []
        for line in server.stderr:
            said.append(line)
            if line.startswith("curl "):
                break
        assert server.stderr.readline() == "\n"
        assert "".join(said[:-1]) == (
            f"the project was moved or copied from {houses.folder.parents[1]} to {copy}: MLflow's "
            "store now says so\n"
            "loading models:/häuser/1, the champion ...\n"
            f"http://127.0.0.1:{port}/invocations answers (Ctrl-C ends it)\n"
            "an example, from another terminal in this folder:\n\n"
        )
        yield copy, port, said[-1], server
    finally:
        server.kill()
        server.communicate()


def test_the_champion_is_served_to_this_machine_alone(
    houses: Handed, served: tuple[Path, int, str, Popen[str]]
) -> None:
    folder, port, example, server = served
    process = psutil.Process(server.pid)
    listening = [each.laddr for each in process.net_connections() if each.status == "LISTEN"]
    assert [(each.ip, each.port) for each in listening] == [("127.0.0.1", port)]

    def shell(command: str, stdin: str = "") -> str:
        done = subprocess.run(
            ["bash", "-c", command], cwd=folder, input=stdin, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    ((answer,),) = json.loads(shell(example)).values()
    assert answer.keys() == {"Preis/€"}
    sent = run(folder, "-m", "pipeline.predict", "häuser", "--request")
    assert json.loads(sent) == json.loads(shlex.split(example)[-1])
    rows = str(houses.folder / "rows.csv")
    sent = run(folder, "-m", "pipeline.predict", "häuser", rows, "--request")
    url = f"http://127.0.0.1:{port}/invocations"
    post = f"curl --silent --header 'Content-Type: application/json' --data @- {url}"
    answers = [each["Preis/€"] for each in json.loads(shell(post, sent))["predictions"]]
    np.testing.assert_allclose(answers, np.ravel(houses.answers["answers"]), rtol=1e-5)
    for host, code in (("localhost", 200), ("evil.example", 400), ("127.0.0.1.nip.io", 400)):
        ask = f"curl --silent --output /dev/null --write-out '%{{http_code}}' -H 'Host: {host}'"
        assert shell(f"{ask} http://127.0.0.1:{port}/ping") == str(code)
    server.send_signal(signal.SIGINT)
    _, said = server.communicate(timeout=60)
    assert said == "interrupted\n"
    assert server.returncode == 130


# What an ensemble and its members answer, for somebody without this package.
MEAN = """
import json, pathlib, sys
import keras, pandas
sys.path.insert(0, ".")
import predict
texts = pandas.read_csv("rows.csv", sep=";", encoding="cp1252", dtype=str, keep_default_na=False)
found = json.loads(pathlib.Path("metrics.json").read_text())
own = predict.answer(keras.saving.load_model("model.keras"), texts)
mean, n = 0, 0
for each in found["ensemble"]:
    (path,) = pathlib.Path("../../mlruns").rglob(f"{each['run_id']}/artifacts/model.keras")
    mean = mean + each["picks"] * predict.answer(keras.saving.load_model(path), texts)
    n += each["picks"]
print(json.dumps({"own": own.tolist(), "mean": (mean / n).tolist()}))
"""


def test_an_ensemble_is_the_mean_of_its_networks(houses: Handed) -> None:
    project = houses.folder.parents[1]
    assert "sealed" in run(project, "-m", "pipeline.best", "häuser", "--ensemble")
    assert not (project / "exports" / "häuser_ensemble").exists()
    said = run(project, "-m", "pipeline.best", "häuser", "--ensemble", "--export", "--only-keras")
    folder = project / "exports" / "häuser_ensemble"
    found = json.loads((folder / "metrics.json").read_text())
    (folder / "rows.csv").write_bytes((houses.folder / "rows.csv").read_bytes())
    answers = json.loads(run(folder, "-c", MEAN).splitlines()[-1])
    np.testing.assert_allclose(answers["own"], answers["mean"], rtol=1e-5)
    prices = houses.rows["Preis/€"].str.replace(",", ".").astype(float)
    score = root_mean_squared_error(prices, np.ravel(answers["own"]))
    assert score == pytest.approx(found["test"]["rmse"], rel=1e-4)
    assert found["gain"]["ensemble"] <= found["gain"]["champion"]
    assert found["validation"]["rmse"] == pytest.approx(found["gain"]["ensemble"])
    low, high = found["gain"]["difference_95"]
    assert low <= found["gain"]["ensemble"] - found["gain"]["champion"] <= high
    assert "The mean answer of " in (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    again = run(project, "-m", "pipeline.best", "häuser", "--ensemble")
    assert "sealed" not in again, "the look is known"
    assert len(said.splitlines()) == len(again.splitlines())
