"""Training: data -> text -> features -> model -> run folder.  `python -m trainer --help`"""
