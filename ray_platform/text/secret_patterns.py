"""What looks like a secret in a text: known kinds of credentials, assignments to a name that sounds
like a secret, and long random words. `redaction` is the way in.

Long random words are masked only when they hold letters of both cases and digits and are no digest,
ARN, id, path, name or certificate, since infrastructure is full of those and a report without them
says nothing. A secret in hexadecimal alone cannot be told from a digest by its look: only its key, its
kind or Terraform's mark can tell it.
"""

import base64
import binascii
import functools
import itertools
import math
import re
from collections import Counter

MASK = "(sensitive)"

#: Whole words of a key, in any of the spellings snake_case, kebab-case, camelCase.
_SECRET_WORDS = frozenset(
    {"password", "passwords", "passwd", "passphrase", "pwd", "secret", "secrets", "token", "apikey"}
    | {"credential", "credentials", "bearer", "creds", "cred", "psk", "preshared", "dsn"}
)
#: Only as the last word: in the middle they mean something else (`pass_through`).
_LAST_WORDS = frozenset({"pass", "pat"})

_SECRET_PAIRS = frozenset(
    {("private", "key"), ("api", "key"), ("access", "key"), ("auth", "key"), ("user", "data")}
    | {("account", "key"), ("shared", "key"), ("signing", "key"), ("master", "key")}
    | {("license", "key"), ("connection", "string"), ("encryption", "key"), ("pre", "shared")}
    | {("ssh", "key"), ("secret", "key"), ("webhook", "url"), ("hook", "url"), ("webhook", "uri")}
)
#: A text under one of these is a secret; a block is a description.
_TEXT_WORDS = frozenset({"webhook", "pin"})
#: Names a thing, whatever it is called.
_PUBLIC = re.compile(
    r"arn:[a-z-]+:[a-z0-9-]+:[^\s\"]*|alias/[\w/-]+|ssh-(?:rsa|ed25519)\s.*", re.DOTALL
)
#: Keys that hold such a word and name a thing instead of being it.
_NAMING_WORDS = frozenset(
    {"arn", "id", "ids", "name", "names", "type", "enabled", "path", "mode", "ttl", "hops"}
    | {"tokens", "version", "count", "endpoint", "url", "uri", "required", "policy", "status"}
    | {"digest", "rotation", "period", "days", "validation", "check", "file", "length", "replace"}
    | {"account", "role", "store", "manager", "strategy"}
)

_KNOWN_KINDS = re.compile(
    r"""
    -----BEGIN\ [A-Z0-9 ]*PRIVATE\ KEY-----.*?(?:-----END\ [A-Z0-9 ]*PRIVATE\ KEY-----|\Z)
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b
    | \bgh[pousr]_[A-Za-z0-9]{20,}
    | \bgithub_pat_[A-Za-z0-9_]{20,}
    | \bglpat-[A-Za-z0-9_-]{20,}
    | \bxox[abeoprs]-[A-Za-z0-9-]{10,}
    | \bxapp-[0-9]-[A-Za-z0-9-]{10,}
    | (?<=hooks\.slack\.com/services/)[A-Za-z0-9/]{20,}
    | (?<=hooks\.slack\.com/workflows/)[A-Za-z0-9/]{20,}
    | (?<=discord\.com/api/webhooks/)[0-9]+/[A-Za-z0-9_-]{20,}
    | (?<=discordapp\.com/api/webhooks/)[0-9]+/[A-Za-z0-9_-]{20,}
    | (?<=events\.pagerduty\.com/integration/)[A-Za-z0-9]{20,}
    | (?<=\.webhook\.office\.com/)webhookb2/[A-Za-z0-9@/_-]{20,}
    | \b(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}
    | \bwhsec_[A-Za-z0-9+/=]{16,}
    | \bAIza[A-Za-z0-9_-]{35}
    | \bGOCSPX-[A-Za-z0-9_-]{20,}
    | \bya29\.[A-Za-z0-9_-]{20,}
    | \bnpm_[A-Za-z0-9]{30,}
    | \bhf_[A-Za-z0-9]{30,}
    | \bsk-(?:[a-z]+\d*-)*[A-Za-z0-9_-]{20,}
    | \bpypi-[A-Za-z0-9_-]{40,}
    | \bdckr_pat_[A-Za-z0-9_-]{20,}
    | \bdop_v1_[a-f0-9]{40,}
    | \bdapi[a-f0-9]{32}\b
    | \bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}
    | \bhvs\.[A-Za-z0-9_-]{20,}
    | \b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{40,}
    | \bAGE-SECRET-KEY-1[A-Z0-9]{40,}
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*
    """,
    re.VERBOSE | re.DOTALL,
)
#: ``https://user:password@host``: the password alone goes.
_URL_PASSWORD = re.compile(r"(?<=://)([^\s/:@]*):([^\s/@]+)@")
#: ``user:password@tcp(host)``, as MySQL's drivers in Go have it.
_DSN_PASSWORD = re.compile(r"(?<![\w.-])([\w.-]+):([^\s/:@\"']+)@(?=(?:tcp|unix)\()")
#: ``https://KEY@host/1``, as Sentry and others have it.
_URL_KEY = re.compile(r"(?<=://)[0-9a-f]{32}@")
#: ``Authorization: Bearer ...``, ``Basic ...``, ``token ...``.
_BEARER = re.compile(r"(?i)(\b(?:bearer|basic|token)\s+)([A-Za-z0-9._~+/-]{16,}=*)")
#: The parts of a signed URL that let its holder in.
_SIGNED = re.compile(r"(?i)([?&](?:sig|[a-z-]*signature|x-amz-security-token)=)([^\s&\"']{8,})")
#: ``password = "..."``, ``"token": "..."``, and ``"old" -> "new"`` of a plan.
_QUOTED = re.compile(
    r"""(?<![A-Za-z0-9_.-])([A-Za-z0-9_.-]++)(\\*+["']?[ \t]*+(?:=>|[=:])[ \t]*+)"""
    r"""(\\*["'])((?:(?!\3)[^\n])+)\3"""
    r"""(?:([ \t]*->[ \t]*)(["'])((?:(?!\6)[^\n])*)\6)?"""
)
#: ``PASSWORD=hunter2`` without quotes and spaces, as in a shell.
_UNQUOTED = re.compile(r"""(?<![A-Za-z0-9_.-])([A-Za-z0-9_.-]++)=([^\s"',;()&<>]{4,})""")
#: ``password: hunter2``: only words that nobody uses in a sentence before a colon and a plain word.
_SPOKEN = re.compile(
    r"""(?ix)
    ( (?<![A-Za-z]) [A-Za-z0-9_-]{0,40} (?:password|passwd|passphrase|secret_access_key|private_key
      |client_secret|api_?key|auth_?token|session_?token|access_?token) ["']? \s* [=:] \s* ["']? )
    ( (?!\(|null\b|true\b|false\b|var\.|local\.|data\.|module\.) [^\s"',;)]{4,} )
    """
)
#: A line after which a list, a map or a heredoc holds the values: ``passwords = [``.
_OPENS = re.compile(
    r"""^([ \t]*+)(?:[+~-][ \t]*+)?["']?([A-Za-z0-9_.-]++)["']?[ \t]*+[=:]"""
    r"""[ \t]*+(?:[\[{]|\w+\(|<<[-~]?\w+)\s*$"""
)
_QUOTED_VALUE = re.compile(r'(=>|[=:]|->|^|[\[,])(\s*[+~-]?\s*)"([^"]+)"(?!\s*[=:])')
_WORD = re.compile(r"[A-Za-z0-9+/_=-]{24,}")
_TOKEN_ENDS = re.compile(r"[\s\"'`,;(){}<>|\[\]]")

_ENTROPY_BITS = 3.9
_RANDOM_CHARS = 24
_SHORT = 200
#: ``-----BEGIN CERTIFICATE``, as EKS gives its certificate authority: public.
_BASE64_CERTIFICATE = "LS0tLS1CRUdJTiBDRVJU"
#: Words, numbers and short names between the separators of a name.
_READABLE = re.compile(r"[A-Z]?[a-z]{3,}|(?<![^/_-])(?:[0-9]+|[A-Z]+[0-9]{0,2})(?![^/_-])")
_ID_WITH_SUFFIX = re.compile(r"(?:[a-z0-9]+-)+[0-9]{14,}[0-9A-Za-z-]*")


@functools.lru_cache(maxsize=4096)
def is_secret_key(key: str) -> bool:
    """Whether a key sounds like the name of a secret (``db_password``) and not of its
    surroundings (``secret_arn``, ``http_tokens``)."""
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", key).lower()
    parts = [word for word in re.split(r"[_\-.\s]+", words) if word]
    if not parts:
        return False
    if parts[-1] in _NAMING_WORDS:
        return tuple(parts[-2:]) in _SECRET_PAIRS
    return (
        parts[-1] in _LAST_WORDS
        or bool(_SECRET_WORDS & set(parts))
        or any(pair in _SECRET_PAIRS for pair in itertools.pairwise(parts))
    )


def is_secret_text_key(key: str) -> bool:
    """Whether a text under that key is a secret, where a block would not be (``webhook``)."""
    return key.lower().replace("-", "_").rpartition("_")[2] in _TEXT_WORDS


def is_public_value(text: str) -> bool:
    """Whether a value only names a thing, whatever its key sounds like: an ARN, an alias of a key."""
    return _PUBLIC.fullmatch(text) is not None


def mask_looks(text: str) -> str:
    """The text with `MASK` for all that looks like a secret; masking twice is masking once."""
    # A plan says the same short texts over and over.
    return _masked_before(text) if len(text) <= _SHORT else _masked(text)


def _masked(text: str) -> str:
    text = _KNOWN_KINDS.sub(MASK, text)
    text = _URL_PASSWORD.sub(rf"\1:{MASK}@", text)
    text = _URL_KEY.sub(f"{MASK}@", text)
    text = _DSN_PASSWORD.sub(rf"\1:{MASK}@", text)
    text = _BEARER.sub(rf"\1{MASK}", text)
    text = _SIGNED.sub(rf"\1{MASK}", text)
    if "=" in text or ":" in text:
        text = _mask_blocks(text)
        text = _QUOTED.sub(_mask_quoted, text)
        text = _UNQUOTED.sub(_mask_unquoted, text)
        text = _SPOKEN.sub(rf"\1{MASK}", text)
    return _WORD.sub(lambda match: MASK if _is_random(match, text) else match[0], text)


_masked_before = functools.lru_cache(maxsize=4096)(_masked)


def _mask_quoted(match: re.Match[str]) -> str:
    key, between, quote, _, arrow, other, _ = match.groups()
    if not is_secret_key(key.rpartition(".")[2]):
        return match[0]
    changed = f"{arrow}{other}{MASK}{other}" if arrow else ""
    return f"{key}{between}{quote}{MASK}{quote}{changed}"


def _mask_unquoted(match: re.Match[str]) -> str:
    return f"{match[1]}={MASK}" if is_secret_key(match[1].rpartition(".")[2]) else match[0]


def _mask_blocks(text: str) -> str:
    """``passwords = [``, ``secrets = {`` and ``user_data = <<-EOT``: what stands inside."""
    if "\n" not in text:
        return text
    lines, masked, inside, heredoc = text.split("\n"), [], -1, False
    for line in lines:
        indent = len(line) - len(line.lstrip(" +~-"))
        if inside >= 0 and line.strip() and indent <= inside:
            inside = -1
        if inside >= 0 and line.strip():
            whole = " " * indent + MASK
            line = (
                whole
                if heredoc
                else _QUOTED_VALUE.sub(lambda found: f'{found[1]}{found[2]}"{MASK}"', line)
            )
        elif (opens := _OPENS.match(line)) and is_secret_key(opens[2].rpartition(".")[2]):
            inside, heredoc = indent, "<<" in line
        masked.append(line)
    return "\n".join(masked)


def _is_random(match: re.Match[str], text: str) -> bool:
    word = match[0].rstrip("=")
    start, end = match.span()
    # The shell's and HCL's NAME=VALUE: the name counts for nothing.
    name, equals, value = word.partition("=")
    if equals and re.fullmatch(r"[A-Za-z0-9_-]+", name):
        word = value
    if word.startswith(_BASE64_CERTIFICATE) or _ID_WITH_SUFFIX.fullmatch(word):
        return False
    if _hides_a_secret(word):
        return True
    if len(word) < _RANDOM_CHARS or re.fullmatch(r"[0-9a-f-]+|[0-9A-F-]+", word):
        return False
    if _is_part_of_a_name(text, start, end):
        return False
    if sum(len(part) for part in _READABLE.findall(word)) > len(word) / 2:
        return False
    mixed = all(re.search(kind, word) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    return mixed and _entropy(word) >= _ENTROPY_BITS


def _is_part_of_a_name(text: str, start: int, end: int) -> bool:
    """A part of an ARN, a URL's path, a digest with its algorithm, or a dotted name."""
    before = text[max(0, start - 300) : start]
    token = _TOKEN_ENDS.split(before)[-1]
    if token.startswith("arn:") or ("://" in token and "?" not in token and "@" not in token):
        return True
    if token.endswith(".") and token[:-1].rpartition(".")[2].isalnum():
        return True
    if re.match(r"\.[A-Za-z0-9_]", text[end : end + 2]):
        return True
    return bool(re.search(r"(?:\bh1:|sha(?:1|256|384|512)[-:])$", before[-7:])) or bool(
        re.match(r"sha(?:1|256|384|512)-", text[start : start + 7])
    )


def _hides_a_secret(word: str) -> bool:
    """Whether it is base64 of a text with a secret in it, as user data is."""
    try:
        plain = base64.b64decode(word + "=" * (-len(word) % 4), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return False
    readable = all(char.isprintable() or char in "\r\n\t" for char in plain)
    return readable and mask_looks(plain) != plain


def _entropy(word: str) -> float:
    """Shannon entropy in bits a character, after C. E. Shannon (1948)."""
    counts = Counter(word).values()
    return -sum(n / len(word) * math.log2(n / len(word)) for n in counts)
