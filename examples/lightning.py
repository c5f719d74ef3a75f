"""Training under Lightning: its engine, its callbacks, our loss.

``python examples/lightning.py --out DIR`` fits digits by a Pyro program whose loss is a module;
``--devices 2`` trains data-parallel.
"""

import argparse
import json
from pathlib import Path

import pyro
import torch
from pyro.nn import PyroModule
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader

import lightning
import pyro_rm
from pyro_rm.distributions import EnergyModel
from pyro_rm.energies import MLPEnergy
from pyro_rm.infer import warmup_cosine


class Digits(PyroModule):
    """The program: binary images from one energy."""

    def __init__(self, energy: torch.nn.Module) -> None:
        super().__init__()
        self.energy = energy

    def forward(self, x: torch.Tensor) -> None:
        """Observe a batch."""
        with pyro.plate("data", len(x)):
            pyro.sample("x", EnergyModel(self.energy), obs=x)


class RatioMatching(lightning.LightningModule):
    """A Pyro program and its loss, as Lightning wants them."""

    def __init__(self, num_steps: int) -> None:
        super().__init__()
        self.energy = MLPEnergy(64, (128, 128))
        self.loss = pyro_rm.RatioMatchingLoss(num_neighbors=10)(Digits(self.energy), lambda x: None)
        self.num_steps = num_steps

    def training_step(self, batch: torch.Tensor, index: int) -> torch.Tensor:
        """The mean loss of a datum."""
        return self.loss(batch) / len(batch)

    def validation_step(self, batch: torch.Tensor, index: int) -> None:
        """The exact objective a site."""
        value = pyro_rm.estimate(self.energy, batch, num_neighbors="all").mean() / 64
        self.log("held_out", value, prog_bar=True, sync_dist=True)

    def configure_optimizers(self) -> dict:
        """Adam with warm-up and cosine decay, by the step."""
        optimizer = torch.optim.Adam(self.parameters(), lr=3e-3)
        schedule = warmup_cosine(optimizer, self.num_steps, num_warmup_steps=self.num_steps // 10)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="a few steps only, for tests")
    parser.add_argument("--out", type=Path, default=Path("out/lightning"))
    arguments = parser.parse_args()
    steps = 5 if arguments.smoke else arguments.steps
    lightning.seed_everything(0)
    images = torch.tensor(load_digits().data > 7).float()[torch.randperm(1797)]
    module = RatioMatching(steps)
    trainer = lightning.Trainer(
        max_steps=steps,
        devices=arguments.devices,
        accelerator="auto",
        gradient_clip_val=1.0,
        default_root_dir=arguments.out,
        logger=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    training = DataLoader(images[:1437], batch_size=128, shuffle=True, drop_last=True)
    trainer.fit(module, training, DataLoader(images[1437:], batch_size=360))
    if trainer.is_global_zero:
        trainer.validate(module, DataLoader(images[1437:], batch_size=360), verbose=False)
        results = {"held_out": trainer.callback_metrics["held_out"].item(), "steps": steps}
        (arguments.out / "results.json").write_text(json.dumps(results, indent=2))
        print(f"held-out -log p(site | rest): {results['held_out']:.4f} nats")


if __name__ == "__main__":
    main()
