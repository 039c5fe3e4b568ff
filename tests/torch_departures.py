"""Where PyTorch's names are here, which are left out and why, and which signatures differ."""

HERE = {
    "torch.nn": "weft.layers",
    "torch.nn.functional": "weft.layers.functional",
    "torch.nn.init": "weft.layers.init",
    "torch.nn.utils": "weft.layers.utils",
    "torch.nn.utils.parametrizations": "weft.layers.utils.parametrizations",
    "torch.nn.utils.parametrize": "weft.layers.utils.parametrize",
    "torch.nn.utils.prune": "weft.layers.utils.prune",
    "torch.nn.utils.rnn": "weft.layers.utils.rnn",
    "torch.nn.utils.stateless": "weft.layers.utils.stateless",
    "torch.optim": "weft.optimizers",
    "torch.optim.lr_scheduler": "weft.optimizers.schedulers",
    "torch.optim.swa_utils": "weft.optimizers.swa_utils",
}

DEPRECATED = "PyTorch's own name for what it has deprecated"
HALF_KERNELS = "a front of one cuBLAS call for scaled 8-bit or grouped products, without a gradient of its own"
WITHOUT_UNDERSCORE = [
    *("constant", "dirac", "eye", "kaiming_normal", "kaiming_uniform", "normal", "orthogonal", "sparse"),
    *("uniform", "xavier_normal", "xavier_uniform"),
]
LEFT_OUT = {
    "torch.nn": {"DataParallel": "several devices in one process; data parallel here is a process each"},
    "torch.nn.functional": {"grouped_mm": HALF_KERNELS, "scaled_grouped_mm": HALF_KERNELS, "scaled_mm": HALF_KERNELS},
    "torch.nn.init": dict.fromkeys(WITHOUT_UNDERSCORE, DEPRECATED),
    "torch.nn.utils": {"clip_grad_norm": DEPRECATED},
    "torch.nn.utils.prune": {"PruningContainer": "PyTorch's record of several prunings; here they are one mask"},
    "torch.optim": {"swap_in_optimizer_params_and_state": "PyTorch's tool for tracing a step functionally"},
}

FOREACH = "how PyTorch loops over tensors; here they lie in one vector"

# (namespace, name): how the signature differs, and why
DIFFERENT = {
    ("torch.nn.functional", "normalize"): ({"out"}, "results are not written to given memory"),
    ("torch.nn", "Parameter"): (
        {"data"},
        "a parameter has a value: a Tensor without one is lazy, `UninitializedParameter`",
    ),
    ("torch.nn.utils", "clip_grad_norm_"): ({"foreach"}, FOREACH),
    ("torch.nn.utils", "clip_grad_value_"): ({"foreach"}, FOREACH),
    ("torch.nn.utils", "clip_grads_with_norm_"): ({"foreach"}, FOREACH),
    ("torch.nn.utils", "get_total_norm"): ({"foreach"}, FOREACH),
}
