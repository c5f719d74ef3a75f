"""Missing cells and latent sites: filled from the model, summed out, or imputed."""
