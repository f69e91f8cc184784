# %% [markdown]
# # Tutorial
#
# From runs to a plan in one notebook: a run store, a fit with its doubts, figures, the plan that follows, and the runs
# to make next. The runs are those of [Kaplan's programme in small](kaplan-mini.md), which come with a clone of the
# repository. This page is the notebook as the build of the documentation ran it; [download it](tutorial.ipynb).

# %%
import matplotlib.pyplot as plt

import isoflop as iso

# %% [markdown]
# ## A shape, and what it costs
#
# A `Shape` is the fields of a model. Its parameters are counted exactly; FLOPs by a convention that is named.

# %%
shape = iso.Shape(n_layer=4, d_model=176, n_head=4, n_ctx=64, n_vocab=256)
shape

# %%
{name: iso.flops(shape).per_token(name) for name in ("kaplan-6n", "exact", "exact-causal")}  # a token, training

# %% [markdown]
# ## The runs
#
# A `RunStore` is a folder. [A sweep](how-to/run-a-study.md) writes one, your own trainer
# [writes one by a line or two](how-to/embed-in-your-trainer.md), and runs of others are
# [imported into one](how-to/fit-your-wandb-export.md).

# %%
store = iso.RunStore("examples/results/kaplan-mini", create=False)
store

# %% [markdown]
# A study asks several questions, each by a group of runs. The joint law is fitted to the grid of sizes and tokens, and
# not to the scan of batches or of shapes, whose losses differ for other reasons than N and D.

# %%
from isoflop.runs.studies import runs_of_group

data = store.fit_data(runs_of_group(store, "grid"))
for name, column in data.columns.items():
    print(f"{name}: {column.min():.3g} to {column.max():.3g}")

# %% [markdown]
# ## The fit
#
# `fit` estimates a law and says how sure it is: standard errors from the curvature, intervals from resampled runs.

# %%
fit = iso.fit("kaplan", data)
fit

# %% [markdown]
# An interval holds if the law does. Whether it does is asked of runs that the fit has not seen: the largest sizes, held
# out; and of other laws.

# %%
print(fit.holdout(by="N"))
print(*fit.doubts or ["no doubts"], sep="\n")

# %%
iso.compare(["kaplan", "chinchilla"], data, by="N")

# %% [markdown]
# ## Figures
#
# Every picture is a function of a fit or a store, which draws on `ax` and returns it, or makes a figure of its own:
# `.figure` of what comes back. All of them are in the [table of figures](figures.md#all-figures).

# %%
from isoflop.report.figures import Study, compute_frontier, loss_contours, profile_sizes, residual_histogram

figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
residual_histogram(fit, ax=axes[0])
loss_contours(Study.of(store), ax=axes[1])
plt.show()

# %% [markdown]
# Runs at equal compute find the best size without any law of N and D:

# %%
study = Study.of(store)  # reads and fits once for all its figures
profile_sizes(study).figure

# %% [markdown]
# ## The plan
#
# A plan is the size and the tokens that reach the lowest loss with a budget. It warns where it reaches beyond the runs,
# and by how much; its intervals hold only if the law does out there.

# %%
plan = iso.plan("1e14 FLOP", fit)
plan

# %%
compute_frontier(study).figure

# %% [markdown]
# Constants that others published plan the same way, with their source:

# %%
iso.plan("1e22 FLOP", "chinchilla-besiroglu")

# %% [markdown]
# ## What to run next
#
# `design` chooses the runs that make an answer surest for their FLOPs: here the loss at ten times the compute of the
# plan, with half of the plan's budget. `isoflop sweep` trains what it writes.

# %%
space = iso.Space(n_params=(1e3, 3e6), n_tokens=(1e5, 1e7), shape={"n_ctx": 64, "n_vocab": 256})
design = iso.design(fit, "5e13 FLOP", "L_opt(1e15)", space=space, runs=8)
design

# %%
print(design.to_toml(name="next", corpus="stdlib"))
