"""Click logs in other people's formats, where no real sample is at hand."""
