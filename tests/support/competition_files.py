"""A tiny competition folder for tests: four users, seven movies, and every oddity of the real data."""

from __future__ import annotations

from pathlib import Path

RATINGS = """\
user,item,time
20,5,1230782529
10,9,1260759144
20,3,1230782529
10,3,1260759100
7,1,1112486027
7,5,1112484676
30,12,1427784002
7,9,1112484819
"""
TITLES = '''\
item\ttitle
9\tNull
1\t"""Great Performances"" Cats (1998)"
3\tAmélie, or: Le Fabuleux destin (2001)
5\tWar of the Worlds (2005)
7\tWar of the Worlds (2005)
11\tFawlty Towers (1975-1979)
12\tNA
'''
YEARS = "item\tyear\n9\t1994\n3\t2001\n5\t2005\n7\t2005\n12\t2012\n"
GENRES = "item\tgenre\n5\tSci-Fi\n5\tAction\n3\tComedy\n1\tMusical\n7\tAction\n9\tFilm Noir\n12\tNone\n11\tComedy\n"
DIRECTORS = "item\tdirector\n5\tnm0000229\n3\tnm0000466\n"
WRITERS = "item\twriter\n3\tnm0491011\n3\tnm0000466\n5\tnm0295264\n"
GENRE_NUMBERS = '{"1": [7], "3": [2], "5": [0, 5], "7": [0], "9": [3], "11": [2], "12": [9]}'

FILES = {
    "train_ratings.csv": RATINGS,
    "titles.tsv": TITLES,
    "years.tsv": YEARS,
    "genres.tsv": GENRES,
    "directors.tsv": DIRECTORS,
    "writers.tsv": WRITERS,
    "Ml_item2attributes.json": GENRE_NUMBERS,
}


def write_competition(folder: Path) -> Path:
    """Write the files into ``folder``, which is made, and return it."""
    folder.mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_bytes(text.encode("utf-8"))
    return folder
