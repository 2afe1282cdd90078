"""From impressions to a run that can be exported: new or continued, or a plain baseline."""

from ranking.training.run import NotTrainable, logistic_only, train, untrained
from ranking.training.settings import TrainSettings

__all__ = ["NotTrainable", "TrainSettings", "logistic_only", "train", "untrained"]
