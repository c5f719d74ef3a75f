"""Calibrated generalized posteriors: sandwich covariances, adjusted draws, missing cells."""
