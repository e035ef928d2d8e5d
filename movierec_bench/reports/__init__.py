"""What people read: boards, submissions, tables by segment. Reads run folders, trains nothing.

`leaderboard` makes the board, `board` is its record; `eda` and `report` are pages of pictures, drawn by `pages`.
"""
