"""The tools of a file: what they take and answer, what they do to the world, who runs whom, what tiers offer."""
