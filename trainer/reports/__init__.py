"""Where a model fails: what a scorer saw at its last call, as scores by class, by length, with intervals. Pure numpy.

outcomes.py   what a kind of task gives: statistics of each example, what is of which class, what was wrong
classes.py    precision, recall and F1 by class; what was taken for what
groups.py     scores by length, and by what else examples have in common
bootstrap.py  intervals of scores, and of the difference of two runs
report.py     all of that as one dict, as JSON holds it
table.py      the same for a terminal; columns.py: lines of columns, Chinese included
"""
