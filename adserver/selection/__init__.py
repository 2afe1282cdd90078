"""Selection by `ad_selector`, the Triton model that finds and scores ads on one device."""
