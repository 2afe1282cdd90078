"""Other people's click logs, from text files to checked columns."""
