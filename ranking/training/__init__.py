"""From impressions to a run that can be exported: new or continued, or a plain baseline."""

from ranking.training.former import NotTrainable
from ranking.training.ranks import Ranks
from ranking.training.run import logistic_only, train, untrained
from ranking.training.settings import TrainSettings

__all__ = ["NotTrainable", "Ranks", "TrainSettings", "logistic_only", "train", "untrained"]
