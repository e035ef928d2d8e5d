"""What the page says, as small tables: functions of the data alone, which draw and write nothing."""
