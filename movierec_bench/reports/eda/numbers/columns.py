"""Names of the columns of the tables of this page, which are also the headings of its CSV files."""

from __future__ import annotations

# counts, and shares in 0 to 1
ROWS, USERS, MOVIES, SESSIONS, GENRES, PERSONS, NEW_USERS = (
    "rows",
    "users",
    "movies",
    "sessions",
    "genres",
    "persons",
    "new_users",
)
SHARE, SO_FAR = "share", "share_so_far"
SHARE_OF_ROWS, SHARE_OF_MOVIES = "share_of_rows", "share_of_movies"
ROWS_SO_FAR, MOVIES_PERCENT = "share_of_rows_so_far", "percent_of_movies"

# an interval of a histogram: its lower end, which belongs to it, and its upper end, which does not
LOW, HIGH = "from", "below"
INTERVAL = "interval"  # the same in words, where intervals are few and uneven

# of the rows a user, of the movies a year and the like
MEAN, VARIANCE, MEDIAN, MIN, MAX = "mean", "variance", "median", "min", "max"
MEAN_ROWS_A_MOVIE, VARIANCE_ROWS_A_MOVIE = "mean_rows_a_movie", "variance_rows_a_movie"
MEAN_ROWS_A_USER, VARIANCE_ROWS_A_USER = "mean_rows_a_user", "variance_rows_a_user"
MEAN_SHARE_A_USER, VARIANCE_SHARE_A_USER = "mean_share_a_user", "variance_share_a_user"

# what the counts are of
PLACE, FEATURE, GROUP = "place", "feature", "group"
MONTH, WATCH_YEAR, AGE = "month", "watch_year", "years_after_release"
DEFINITION, GAP, MINUTES = "definition", "time_since_the_row_before", "minutes_after_the_first_row"
GENRE_A, GENRE_B, CORRELATION = "genre_a", "genre_b", "correlation"

# floors under the rows a movie
FLOOR, DROPPED, DROPPED_SHARE = "fewest_rows", "movies_dropped", "share_of_movies_dropped"
ROWS_LOST, ROWS_LOST_SHARE = "rows_lost", "share_of_rows_lost"

# missing side information
WITHOUT, ROWS_WITHOUT = "movies_without", "rows_of_such_movies"

# Cramer's V
FEWEST_MOVIES, V, V_SQUARED, V_CORRECTED = (
    "fewest_movies",
    "cramers_v",
    "cramers_v_squared",
    "cramers_v_corrected",
)
