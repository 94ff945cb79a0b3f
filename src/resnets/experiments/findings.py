"""What the results of an experiment show, in sentences that are made from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from resnets.experiments.experiment import Outcome


def depth(outcomes: Sequence[Outcome]) -> list[str]:
    """How training and test error differ between the shallowest and the deepest net, plain and residual."""
    sentences = []
    for kind, plain in (("plain", True), ("residual", False)):
        for name, key in (("training", "final_train_error"), ("test", "final_test_error")):
            known = [o for o in outcomes if o.net.is_plain == plain and o.values(key)]
            if len(known) > 1:
                known.sort(key=lambda o: o.net.layers)
                first, last = (100 * o.mean(key) for o in (known[0], known[-1]))
                sentences.append(
                    f"{kind}: {last - first:+.2f} points of {name} error from {known[0].net.layers} to "
                    f"{known[-1].net.layers} layers ({first:.2f}% to {last:.2f}%)."
                )
    return sentences


def responses(outcomes: Sequence[Outcome]) -> list[str]:
    """Whether the two orderings of He et al. 2015, figure 7, are found."""
    known = [o for o in outcomes if o.values("mean_std")]
    listed = ", ".join(f"{o.net.name} {o.mean('mean_std'):.3f}" for o in known)
    sentences = [f"Mean standard deviation over layers: {listed}."]
    plain = [o.mean("mean_std") for o in known if o.net.is_plain]
    by_depth = sorted((o for o in known if not o.net.is_plain), key=lambda o: o.net.layers)
    residual = [o.mean("mean_std") for o in by_depth]
    if plain and residual:
        found = "is" if max(residual) < min(plain) else "is not"
        sentences.append(f"The paper's first ordering (residual nets respond less than plain ones) {found} found here.")
    if len(residual) > 1:
        found = "is" if residual == sorted(residual, reverse=True) else "is not"
        sentences.append(f"Its second (deeper residual nets respond less, layer by layer) {found} found here.")
    return sentences


def mean_of(key: str, meaning: str) -> Callable[[Sequence[Outcome]], list[str]]:
    """Returns a function that lists the mean under `key` for each net, introduced by `meaning`."""

    def read(outcomes: Sequence[Outcome]) -> list[str]:
        listed = [f"{o.net.name} {o.mean(key):.3g}" for o in outcomes if o.values(key)]
        failed = [o.net.name for o in outcomes if any("failed" in run for run in o.runs)]
        sentences = [f"{meaning}: {', '.join(listed)}."] if listed else []
        if failed:
            sentences.append(f"Training ended with a number that is not finite: {', '.join(failed)}.")
        return sentences

    return read
