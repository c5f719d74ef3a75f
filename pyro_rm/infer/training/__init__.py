"""Training runs of any length: resumable, interruptible, on one process or many."""

from pyro_rm.infer.training.loop import TrainingResult, train
from pyro_rm.infer.training.schedules import warmup_cosine

__all__ = ["TrainingResult", "train", "warmup_cosine"]
