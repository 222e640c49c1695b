"""Estimators, one a module: classifiers, regressors, their ensemble, calibration and intervals."""
