"""What measures and contenders are called in tables, English and Chinese."""

MEASURES = {
    "machine, products": ("The machine: products of float32 matrices", "机器：float32 矩阵乘积"),
    "machine, memory": ("The machine: memory", "机器：内存"),
    "sst2": ("Fine-tuning MiniLM, SST-2", "微调 MiniLM，SST-2"),
    "windows": ("Fine-tuning MiniLM, SQuAD, windows of 384 pieces", "微调 MiniLM，SQuAD，384 片的窗口"),
    "windows, memory": ("Memory at most, 32 full windows of 384", "内存峰值，32 个满窗口，各 384 片"),
    "texts, 1 x 8": ("One text of 8 pieces", "一条文本，8 片"),
    "texts, 1 x 16": ("One text of 16 pieces", "一条文本，16 片"),
    "texts, 1 x 32": ("One text of 32 pieces", "一条文本，32 片"),
    "texts, 1 x 128": ("One text of 128 pieces", "一条文本，128 片"),
    "texts, 32 sentences": ("32 sentences of SST-2", "32 个 SST-2 句子"),
    "base": ("BERT-base, 32 x 128 pieces", "BERT-base，32 x 128 片"),
}
CONTENDERS = {  # parts of their names, in Chinese
    "ours": "我们",
    "planned batches": "计划的批次",
    "random batches": "随机批次",
    "recomputing": "重算",
    "strings by gRPC": "字符串经 gRPC",
    "ids": "id",
    "all states": "全部隐藏状态",
    "read": "读",
    "copy": "复制",
    "read and written": "读与写",
}
UNITS = {"sentences/s": "句/秒", "windows/s": "窗口/秒", "ms": "毫秒"}


def contender(name: str, language: str) -> str:
    """Returns a contender's name in a language, "en" or "zh"."""
    if language == "en":
        return name
    return "，".join(CONTENDERS.get(part, part) for part in name.split(", "))
