"""Judging images: the digit classifier, and measures of how near generated ones come to real."""

from minigan.metrics.bootstrap import bootstrap, half_samples
from minigan.metrics.classifier import DigitClassifier, accuracy, classify, load_classifier
from minigan.metrics.clustering import hungarian_error, majority_error
from minigan.metrics.features import Reading, features, probabilities, read
from minigan.metrics.frechet import (
    FRECHET_NAME,
    frechet_distance,
    gaussian_frechet_distance,
    mean_and_covariance,
)
from minigan.metrics.gan_train import GanTrainClassifier, gan_train_accuracy
from minigan.metrics.image_pairs import mean_l1, psnr, ssim
from minigan.metrics.kernel import KernelDistance, kernel_distance
from minigan.metrics.nearest_neighbour import (
    TwoSampleAccuracy,
    nearest_neighbour_error,
    two_sample_accuracy,
)
from minigan.metrics.precision_recall import PrecisionRecall, precision_recall
from minigan.metrics.scores import Modes, classifier_score, label_distribution, modes_and_kl
from minigan.metrics.stacked import N_STACKED_CLASSES, classify_stacked

__all__ = [
    "FRECHET_NAME",
    "N_STACKED_CLASSES",
    "DigitClassifier",
    "GanTrainClassifier",
    "KernelDistance",
    "Modes",
    "PrecisionRecall",
    "Reading",
    "TwoSampleAccuracy",
    "accuracy",
    "bootstrap",
    "classifier_score",
    "classify",
    "classify_stacked",
    "features",
    "frechet_distance",
    "gan_train_accuracy",
    "gaussian_frechet_distance",
    "half_samples",
    "hungarian_error",
    "kernel_distance",
    "label_distribution",
    "load_classifier",
    "majority_error",
    "mean_and_covariance",
    "mean_l1",
    "modes_and_kl",
    "nearest_neighbour_error",
    "precision_recall",
    "probabilities",
    "psnr",
    "read",
    "ssim",
    "two_sample_accuracy",
]
