"""How many secrets are found by their look, and how much that is none: measured on both."""

import base64
import json
import random
import string
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ray_platform.text.redaction import MASK, redact_text

ROOT = Path(__file__).resolve().parents[3]
OF_EACH = 200
LOWER_HEX, ALNUM = "0123456789abcdef", string.ascii_letters + string.digits
URL_SAFE = ALNUM + "-_"


def _chars(rng: random.Random, alphabet: str, count: int) -> str:
    return "".join(rng.choice(alphabet) for _ in range(count))


def _base64(rng: random.Random, count: int) -> str:
    return base64.b64encode(rng.randbytes(count)).decode()


def _jwt(rng: random.Random) -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"RS256","typ":"JWT"}').decode().rstrip("=")
    body = json.dumps({"sub": _chars(rng, ALNUM, 10), "iat": rng.randrange(10**9)})
    middle = base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")
    return f"{head}.{middle}.{_chars(rng, URL_SAFE, 43)}"


#: Each kind as its maker writes it. Put together here, so that no scanner takes this file for a leak.
KINDS: dict[str, Callable[[random.Random], str]] = {
    "AWS access key id": lambda r: "AKIA" + _chars(r, string.ascii_uppercase + "234567", 16),
    "AWS secret access key": lambda r: _chars(r, ALNUM + "+/", 40),
    "GitHub ghp_": lambda r: "ghp_" + _chars(r, ALNUM, 36),
    "GitHub ghs_": lambda r: "ghs_" + _chars(r, ALNUM, 36),
    "GitHub github_pat_": lambda r: f"github_pat_{_chars(r, ALNUM, 22)}_{_chars(r, ALNUM, 59)}",
    "GitLab glpat-": lambda r: "glpat-" + _chars(r, URL_SAFE, 20),
    "Slack xoxb-": lambda r: f"xoxb-{r.randrange(10**11)}-{_chars(r, ALNUM, 24)}",
    "Slack webhook": lambda r: (
        "https://hooks.slack.com/services/" + f"T{_chars(r, ALNUM.upper(), 8)}"
        f"/B{_chars(r, ALNUM.upper(), 10)}/{_chars(r, ALNUM, 24)}"
    ),
    "Stripe sk_live_": lambda r: "sk_" + "live_" + _chars(r, ALNUM, 24),
    "Google API key": lambda r: "AIza" + _chars(r, URL_SAFE, 35),
    "Azure storage key": lambda r: _base64(r, 64),
    "npm": lambda r: "npm_" + _chars(r, ALNUM, 36),
    "Hugging Face": lambda r: "hf_" + _chars(r, ALNUM, 34),
    "OpenAI sk-": lambda r: "sk-" + _chars(r, ALNUM, 48),
    "OpenAI sk-proj-": lambda r: "sk-proj-" + _chars(r, URL_SAFE, 64),
    "W&B key in its variable": lambda r: "WANDB_API_KEY=" + _chars(r, LOWER_HEX, 40),
    "MLflow token in JSON": lambda r: json.dumps({"tracking_token": _chars(r, LOWER_HEX, 40)}),
    "JWT": _jwt,
    "base64 of 32 bytes": lambda r: _base64(r, 32),
    "base64 of 24 bytes": lambda r: _base64(r, 24),
    "URL-safe of 43": lambda r: _chars(r, URL_SAFE, 43),
    "letters and digits, 32": lambda r: _chars(r, ALNUM, 32),
    "letters and digits, 24": lambda r: _chars(r, ALNUM, 24),
}
#: Shown, not demanded: by its look it is a digest.
HOPELESS: dict[str, Callable[[random.Random], str]] = {
    "hexadecimal of 40 without a key": lambda r: _chars(r, LOWER_HEX, 40),
    "letters and digits, 16": lambda r: _chars(r, ALNUM, 16),
}
AROUND = ("{}", "the value {} was refused", 'note = "{}"', "x={}", "see https://a.example/x: {}.")
#: What is masked in the corpus and is meant to be: an access key's shape, and documents that show one.
TEXTS = (
    *("README.md", "docs/**/*.md", "terraform/**/*.tf", "terraform/**/*.tfvars", "bench/*.md"),
    *(
        "environments/*.toml",
        "policies/**/*.rego",
        "helm/**/*.yaml",
        "terraform/.terraform.lock.hcl",
    ),
)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, str):
        yield value


def _value_of(secret: str) -> str:
    """What must go: of an assignment its right side."""
    return secret.rpartition("=")[2] if secret.startswith("WANDB") else secret


def _found(make: Callable[[random.Random], str], rng: random.Random) -> int:
    found = 0
    for number in range(OF_EACH):
        secret = make(rng)
        hidden = redact_text(AROUND[number % len(AROUND)].format(secret))
        found += MASK in hidden and _value_of(secret) not in hidden
    return found


def _ordinary() -> set[str]:
    plans = [json.loads(path.read_text()) for path in (ROOT / "tests/data").glob("plan_*.json")]
    texts = {text for plan in plans for text in _strings(plan)}
    for pattern in TEXTS:
        for path in ROOT.glob(pattern):
            texts |= set(path.read_text(encoding="utf-8").splitlines())
    return {text for text in texts if text.strip()}


def test_what_is_found_and_what_is_spared_on_generated_secrets_and_on_our_own_files() -> None:
    rng = random.Random(20261121)  # noqa: S311 - the same secrets in each run
    recall = {name: _found(make, rng) / OF_EACH for name, make in KINDS.items()}
    hopeless = {name: _found(make, rng) / OF_EACH for name, make in HOPELESS.items()}
    ordinary = _ordinary()
    wrong = sorted(text for text in ordinary if redact_text(text) != text)
    true = sum(recall.values()) * OF_EACH
    precision = true / (true + len(wrong))
    print(f"\n| kind ({OF_EACH} of each) | found |\n|---|---:|")
    for name, share in {**recall, **hopeless}.items():
        print(f"| {name} | {share:.1%} |")
    print(
        f"all kinds {sum(recall.values()) / len(recall):.2%}; {len(wrong)} of {len(ordinary)} ordinary "
        f"texts masked ({len(wrong) / len(ordinary):.3%}); precision {precision:.2%}"
    )
    for text in wrong:
        print("masked:", redact_text(text)[:160], "<-", text[:160])
    assert min(recall.values()) >= 0.9, recall
    assert sum(recall.values()) / len(recall) >= 0.99
    assert precision >= 0.99
    assert len(wrong) / len(ordinary) <= 0.002


@pytest.mark.parametrize("name", HOPELESS)
def test_what_cannot_be_told_by_its_look_is_told_by_its_key(name: str) -> None:
    secret = HOPELESS[name](random.Random(1))  # noqa: S311 - the same in each run
    for text in (f"api_key = {secret}", f'{{"wandb_api_key": "{secret}"}}', f"TOKEN={secret}"):
        assert secret not in redact_text(text)


#: Texts that make a careless expression look at each place from each other place.
TRAPS = {
    "one long word": "aB3" * 33_000,
    "digits and hyphens": "1-" * 50_000,
    "blanks": " " * 100_000 + "x",
    "beginnings of a key": "-----BEGIN PRIVATE KEY-----\n" * 4_000,
    "beginnings of addresses": "https://a:" * 10_000,
    "names without values": "password" * 12_000,
    "quotes": 'a="' * 33_000,
    "escaped quotes": "a" + "\\" * 100_000,
    "signs of equality": "=" * 100_000,
    "sk": "sk-" + "a-" * 50_000,
    "lines": "password = [\n" * 8_000,
}


@pytest.mark.parametrize("trap", TRAPS)
def test_the_time_grows_with_the_length_alone_whatever_the_text(trap: str) -> None:
    whole = TRAPS[trap]
    spent = []
    for text in (whole[: len(whole) // 4], whole):
        started = time.process_time()
        redact_text(text)
        spent.append(time.process_time() - started)
    # Four times the text: quadratic would be sixteen times the time.
    assert spent[1] < 10 * max(spent[0], 0.02), spent
