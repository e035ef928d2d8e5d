"""What was counted, drawn: a section of the page each, with the sentence of what to notice said from the numbers."""
