"""Judging generated digits."""

from minigan.metrics.classifier import DigitClassifier, accuracy, classify, load_classifier

__all__ = ["DigitClassifier", "accuracy", "classify", "load_classifier"]
