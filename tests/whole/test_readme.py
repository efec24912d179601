"""What the README and docs/ show is true: study file, commands, links and their anchors exist."""

import importlib.util
import re
import shutil
from pathlib import Path

import pytest

from pipeline.paths import Project
from pipeline.study.load import load

REPOSITORY = Path(__file__).parents[2]
DOCS = sorted(file.name for file in (REPOSITORY / "docs").glob("*.md"))
PAGES = ("README.md", "CONTRIBUTING.md", *(f"docs/{name}" for name in DOCS))
LINKING = (*PAGES, "CHANGELOG.md", "benchmarks/RESULTS.md")
MOST_LINES = 200  # of the README: what is more belongs into docs/
MOST_BYTES = 200_000  # of a picture
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
_COMMENT = re.compile(r"<!--.*?-->", re.S)


def read(page: str) -> str:
    return (REPOSITORY / page).read_text(encoding="utf-8")


def prose(page: str) -> str:
    """A page without its fenced blocks and comments."""
    return _COMMENT.sub("", _FENCED.sub("", read(page)))


def commands(page: str) -> list[str]:
    """What a page shows of a shell: indented lines, fenced ones of no language, and in words."""
    blocks = [block for language, block in _FENCED.findall(read(page)) if not language]
    indented = re.findall(r"^ {4,}(\S.*)$", prose(page), re.M)
    in_words = re.findall(r"`([^`\n]+)`", prose(page))
    return [*indented, *"".join(blocks).splitlines(), *in_words]


def anchors(page: Path) -> set[str]:
    """The headings of a page, as GitHub names them in an address."""
    headings = re.findall(r"^#+ (.+)$", _FENCED.sub("", page.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def test_the_readme_can_be_read_at_once() -> None:
    assert len(read("README.md").splitlines()) < MOST_LINES


def test_its_study_file_is_valid(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "studies", tmp_path / "studies")
    (block,) = re.findall(r"```toml\n(.*?)```", read("docs/studies.md"), re.DOTALL)
    (tmp_path / "studies" / "my_study.toml").write_text(block)
    spec = load(Project(tmp_path), "my_study")
    assert spec.reference[0].repeats == 3
    assert spec.reference[1].name == "dropout 0.3, 20 epochs"


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_exists(page: str) -> None:
    shown = [re.match(r"make ([a-z-]+)", command) for command in commands(page)]
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    named = {found[1] for found in shown if found}
    assert named <= targets
    assert named or page not in ("README.md", "CONTRIBUTING.md", "docs/using.md")


@pytest.mark.parametrize("page", PAGES)
def test_every_module_that_is_run_exists(page: str) -> None:
    shown = " ".join(commands(page))
    for name in set(re.findall(r"-m ((?:benchmarks|simulation)(?:\.\w+)?)\b", shown)):
        assert importlib.util.find_spec(name), name
    for name in set(re.findall(r"-m (pipeline(?:\.\w+)?)\b", shown)):
        module = importlib.import_module(name)
        if hasattr(module, "__path__"):  # a room
            module = importlib.import_module(f"{name}.__main__")
        assert callable(module.main)


@pytest.mark.parametrize("page", PAGES)
def test_every_flag_is_one_of_its_command(page: str) -> None:
    """The contracts list them, and are held against the code."""
    listed = read("docs/contracts.md").partition("\n## Study file")[0]
    flags_of = dict(re.findall(r"^\| `(\w+)` \|.*\|([^|]*)\|$", listed, re.M))
    for command in commands(page):
        for name, rest in re.findall(r"-m pipeline\.(\w+)(.*)", command.replace(r"\|", "/")):
            shown = re.findall(r"--[a-z-]+", re.split(r"[|#]", rest)[0])
            assert {*shown} <= {*re.findall(r"--[a-z-]+", flags_of[name])}, command


@pytest.mark.parametrize("page", LINKING)
def test_every_link_leads_somewhere(page: str) -> None:
    """To a file, and in a page to a heading."""
    file = REPOSITORY / page
    for target in re.findall(r"\]\(([^)]+)\)", prose(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        found = file.parent / path if path else file
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found), target


def test_its_pictures_are_small_and_say_what_they_show() -> None:
    pictures = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", prose("README.md"))
    assert len(pictures) == 3
    for said, file in pictures:
        assert len(said.split()) > 4
        assert (REPOSITORY / file).stat().st_size < MOST_BYTES


def test_the_readme_leads_to_every_page() -> None:
    for name in DOCS:
        assert f"(docs/{name})" in read("README.md"), name


def test_below_the_comparison_stands_where_each_column_was_looked_up() -> None:
    text = read("README.md")
    (table,) = re.findall(r"^\| \| this pipeline .*\n(?:\|.*\n)+", text, re.M)
    header, _, *rows = table.splitlines()
    assert len(rows) > 10
    assert {row.count("|") for row in rows} == {header.count("|")}
    (sources,) = re.findall(r"<!-- Where each column.*\n([^>]+)-->", text)
    named = dict(line.split(": ", 1) for line in sources.splitlines())
    assert [*named] == [cell.split(",")[0].strip() for cell in header.split("|")[2:-1]]
    for page in named.pop("this pipeline").split(", "):
        assert (REPOSITORY / page).exists(), page
    assert all("https://" in where for where in named.values())


def headings(file: Path) -> list[str]:
    """Headings in a section's module, as literals or by a constant's name."""
    code = file.read_text()
    by_name = dict(re.findall(r'^([A-Z]+) = "([^"]+)', code, re.M))
    named = [by_name[name] for name in re.findall(r"Heading\(([A-Z]+)\)", code)]
    return [*named, *re.findall(r'Heading\(f?"([^"{]+)', code)]


def test_every_section_of_a_report_is_told_of() -> None:
    files = (REPOSITORY / "pipeline" / "report" / "sections").glob("*.py")
    found = {name.strip() for file in files for name in headings(file)}
    assert len(found) > 15
    page = read("docs/results.md")
    (table,) = re.findall(r"^\| section \| tells \|\n\|[-|]+\n((?:\|.*\n)+)", page, re.M)
    told = [line.split("|")[1].strip() for line in table.splitlines()]
    assert {name.rstrip(" 0123456789") for name in told} == found


def test_every_step_names_a_reference_of_the_chapter() -> None:
    chapter = load(Project(REPOSITORY), "chapter7")
    names = {reference.name for reference in chapter.reference}
    rows = re.findall(r"^\| (\d+) [^|]*\| (.*) \|$", read("docs/chapter7.md"), re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 16))
    quoted = {name for _, cell in rows for name in re.findall(r"`([^`]+)`", cell)}
    assert names - quoted == {
        "adam, rate 0.0001, 80 epochs",  # abbreviated
        "adagrad, rate 0.03",  # not of the chapter: a tuned rate to compare with
        "rmsprop, rate 0.0003, 20 epochs",
    }


def test_every_environment_variable_is_read() -> None:
    code = "".join(path.read_text() for path in (REPOSITORY / "pipeline").rglob("*.py"))
    named = re.findall(r"\| `([A-Z_]+)` \|", read("docs/using.md"))
    assert named
    for name in named:
        assert f'"{name}"' in code
