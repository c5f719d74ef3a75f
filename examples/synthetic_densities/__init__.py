"""Parts of the example on synthetic densities: methods, likelihoods, scores, figures."""
