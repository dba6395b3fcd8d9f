"""Models beside one another: what `compare` trains, and how it shows score against cost.

plan.py      the runs to train          training.py   trains them, each in a process of its own
groups.py    the runs of folders, by model and settings; what their seeds gave
speed.py     answers a second           table.py  picture.py   what is written
"""
