"""What people read: boards, submissions, tables by segment. Reads run folders, trains nothing."""
