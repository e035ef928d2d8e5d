"""What a run leaves for people: the leaderboard and the submissions."""
