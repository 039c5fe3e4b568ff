"""A program around a captured step, and what it may change between two calls: what is seen must be what is seen without."""

import copy
import random

import weft
from weft import layers as nn
from weft import optimizers as optim


class World:
    """A model and all that a program may change between two calls of its step."""

    def __init__(self, device):
        self.device, self.factor = device, 2.0
        weft.manual_seed(1)
        self.model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1)).to(device)
        self.optimizer = optim.AdamW(self.model.parameters(), lr=0.1)
        self.scaler = weft.GradScaler(init_scale=8.0, growth_interval=3)
        self.shift = weft.full((1,), 0.5, device=device)
        self.total = weft.zeros(1, device=device)
        self.states = []

    def loss(self, x):
        return (self.model(x) * self.factor + self.shift).square().sum()

    def whole(self, x):
        self.optimizer.zero_grad()
        self.scaler.scale(loss := self.loss(x)).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss

    def clears_at_its_end(self, x):
        (loss := self.loss(x)).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss

    def clears_outside(self, x):
        (loss := self.loss(x)).backward()
        self.optimizer.step()
        return loss

    def gradients(self, x):
        (loss := self.loss(x)).backward()
        return loss

    def predict(self, x):
        with weft.no_grad():
            return self.model(x) * self.factor + self.shift

    def accumulate(self, x):
        with weft.no_grad():
            self.total += x.sum()
        return self.total * 1

    # --- what a program does between calls
    def save(self):
        self.states.append((self.model.state_dict(), self.optimizer.state_dict(), self.scaler.state_dict()))
        self.states[-1] = copy.deepcopy(self.states[-1])

    def update(self):
        self.optimizer.step()
        self.optimizer.zero_grad()

    def rebind(self):
        self.shift = weft.full((1,), 7.0, device=self.device)
        self.junk = [weft.full((1,), 1e6, device=self.device) for _ in range(8)]

    def rebind_parameter(self):
        self.model[2].bias.data = weft.full((1,), 3.0, device=self.device).data

    def forget_gradients(self):
        for p in self.model.parameters():
            p.grad = None

    def grow(self):
        self.model.add_module("4", nn.Linear(1, 1).to(self.device))
        self.optimizer.add_param_group({"params": self.model[3].parameters(), "lr": 0.2})

    def set(self, **options):
        for group in self.optimizer.param_groups:
            group.update(options)


BETWEEN = {
    "nothing": ("whole", {}),
    "load the optimizer": ("whole", {2: World.save, 7: lambda w: w.optimizer.load_state_dict(w.states[0][1])}),
    "load the scaler": ("whole", {7: lambda w: w.scaler.load_state_dict(weft.GradScaler(init_scale=4.0).state_dict())}),
    "load the scale": ("whole", {2: World.save, 7: lambda w: w.scaler.load_state_dict(w.states[0][2])}),
    "set the scale": ("whole", {7: lambda w: w.scaler.update(2.0)}),
    "load the model": ("whole", {2: World.save, 7: lambda w: w.model.load_state_dict(w.states[0][0])}),
    "learning rate": ("whole", {7: lambda w: w.set(lr=0.01)}),
    "another sign": ("whole", {7: lambda w: w.set(maximize=True)}),
    "eval": ("whole", {6: lambda w: w.model.eval(), 9: lambda w: w.model.train(), 11: lambda w: w.model.eval()}),
    "dropout": ("whole", {7: lambda w: setattr(w.model[1], "p", 0.0)}),
    "a number": ("whole", {7: lambda w: setattr(w, "factor", 3.0)}),
    "rebound": ("whole", {7: World.rebind}),
    "rebound parameter": ("whole", {7: World.rebind_parameter}),
    "frozen": ("whole", {7: lambda w: w.model[0].requires_grad_(False)}),
    "a new optimizer": ("whole", {7: lambda w: setattr(w, "optimizer", optim.SGD(w.model.parameters(), lr=0.1))}),
    "more parameters": ("whole", {7: World.grow}),
    "more layers": ("whole", {7: lambda w: setattr(w.model, "4", nn.Tanh())}),
    "cleared at the end": ("clears_at_its_end", {}),
    "cleared outside": ("clears_outside", dict.fromkeys(range(14), World.forget_gradients)),
    "cleared outside, then not": ("clears_outside", dict.fromkeys(range(9), World.forget_gradients)),
    "updated outside": ("gradients", dict.fromkeys(range(14), World.update)),
    "updated outside at times": ("gradients", dict.fromkeys((1, 3, 5, 7, 9, 11), World.update)),
    "eval, predicted": ("predict", {7: lambda w: w.model.eval()}),
    "number, predicted": ("predict", {7: lambda w: setattr(w, "factor", 3.0)}),
    "rebound, predicted": ("predict", {7: World.rebind}),
    "a step of the optimizer's own": ("whole", {7: lambda w: setattr(w.optimizer, "step", lambda **_: None)}),
    "a hook of a layer": ("whole", {7: lambda w: w.model[0].register_forward_hook(lambda m, x, y: y / 2) and None}),
    "seeded as before": ("whole", {9: lambda w: weft.manual_seed(1)}),
    "state of its own": ("accumulate", {7: lambda w: w.total.zero_()}),
}


# What `test_random_changes` chooses from.
CHANGES = [
    World.save,
    World.update,
    World.rebind,
    World.rebind_parameter,
    World.forget_gradients,
    lambda w: w.states and w.optimizer.load_state_dict(w.states[0][1]),
    lambda w: w.states and w.model.load_state_dict(w.states[-1][0]),
    lambda w: w.states and w.scaler.load_state_dict(w.states[0][2]),
    lambda w: w.scaler.update(2.0),
    lambda w: w.set(lr=0.01),
    lambda w: w.set(lr=weft.tensor(0.03)),
    lambda w: [g["lr"].fill_(0.04) for g in w.optimizer.param_groups if isinstance(g["lr"], weft.Tensor)],
    lambda w: w.set(betas=(0.5, 0.9)),
    lambda w: w.set(betas=[0.6, 0.8]),
    lambda w: w.set(weight_decay=0.0),
    lambda w: w.set(maximize=True),
    lambda w: w.set(maximize=False),
    lambda w: w.model.eval(),
    lambda w: w.model.train(),
    lambda w: setattr(w.model[1], "p", 0.25),
    lambda w: setattr(w, "factor", 3.0),
    lambda w: setattr(w, "factor", 3),
    lambda w: setattr(w.model, "4", nn.Tanh()),
    lambda w: w.model[0].requires_grad_(False),
    lambda w: w.model[0].requires_grad_(True),
    lambda w: w.total.zero_(),
    lambda w: weft.manual_seed(5),
]


def changed_at_random(seed):
    """The name of a step, and what happens before each of its calls."""
    chosen = random.Random(seed)
    name = chosen.choice(["whole", "clears_at_its_end", "clears_outside", "gradients", "predict", "accumulate"])
    return name, {i: chosen.choice(CHANGES) for i in range(14) if chosen.random() < 0.35}


def lived(device, captured, name, between):
    """All that can be seen after each call of a step, with what happens in between."""
    world = World(device)
    run = weft.capture(getattr(world, name), strict=True) if captured else getattr(world, name)
    found = []
    for i in range(14):
        between.get(i, lambda w: None)(world)
        found.append(run(weft.full((2, 3), 0.1 * (i % 3 + 1), device=device)).tolist())
        found += [None if p.grad is None else p.grad.tolist() for p in world.model.parameters()]
        found += [p.tolist() for p in world.model.parameters()] + [world.total.tolist(), world.scaler.get_scale()]
        found.append([entry["step"] for entry in world.optimizer.state.values()])
    return found, run
