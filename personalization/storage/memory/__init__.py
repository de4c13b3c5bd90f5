"""The twin of the SQL stores in plain dicts: the same contract, nothing kept."""
