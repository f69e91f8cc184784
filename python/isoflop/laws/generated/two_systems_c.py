"""L = E + K/(C*rho_C**other)**gamma

Generated from the declaration of the law: see isoflop.laws.code for what it holds.
"""

from math import exp, inf, log

import numpy as np

NAMES = ('E', 'K', 'gamma', 'rho_C')
INPUTS = ('C', 'other')
OUTPUT = 'L'
LATEX = 'L = E + \\frac{K}{\\left(C\\,\\rho_{C}^{\\mathrm{other}}\\right)^{\\gamma}}'
LOWER = (0.0, -inf, 0.001, -inf,)
UPPER = (inf, inf, 5.0, inf,)
START = ('', '', '', (0.2, 5.0))
LOG = (False, True, False, True)
CENTRED = (True, False)
RAW = (False, True)
POSITIVE = (True, False)
LINEAR = (0, 1)


def evaluate(p, x):
    (E, K, gamma, rho_C), (C, other) = p, x
    return E + K / (C * rho_C ** other) ** gamma


def natural(u, c):
    p = np.array(u, dtype=np.float64)
    p[..., 1] = np.exp(u[..., 1] + c[0]*u[..., 2])
    p[..., 3] = np.exp(u[..., 3])
    return p


def inner(p, c):
    u = np.array(p, dtype=np.float64)
    u[..., 1] = np.log(p[..., 1]) - (c[0]*p[..., 2])
    u[..., 3] = np.log(p[..., 3])
    return u


def natural_jacobian(u, c):
    p = natural(u, c)
    d = np.eye(4)
    d[1, 1] = p[1]
    d[1, 2] = p[1]*(c[0])
    d[3, 3] = p[3]
    return d


def value(u, z, x, f):
    u_E = u[0]
    u_K = u[1]
    u_gamma = u[2]
    u_rho_C = u[3]
    c0 = u_gamma*u_rho_C
    for i in range(f.shape[0]):
        z_C = z[0, i]
        x_other = x[1, i]
        f[i] = u_E + exp(-c0*x_other + u_K - u_gamma*z_C)


def jacobian(u, z, x, f, j):
    u_E = u[0]
    u_K = u[1]
    u_gamma = u[2]
    u_rho_C = u[3]
    c0 = u_gamma*u_rho_C
    for i in range(f.shape[0]):
        z_C = z[0, i]
        x_other = x[1, i]
        t0 = exp(-c0*x_other + u_K - u_gamma*z_C)
        f[i] = t0 + u_E
        j[0, i] = 1.0
        j[1, i] = t0
        j[2, i] = t0*(-u_rho_C*x_other - z_C)
        j[3, i] = -t0*u_gamma*x_other


def curvature(u, z, x, s, h):
    u_K = u[1]
    u_gamma = u[2]
    u_rho_C = u[3]
    c0 = u_gamma*u_rho_C
    c1 = (u_gamma*u_gamma)
    h1_1 = 0.0
    h2_1 = 0.0
    h2_2 = 0.0
    h3_1 = 0.0
    h3_2 = 0.0
    h3_3 = 0.0
    for i in range(s.shape[0]):
        z_C = z[0, i]
        x_other = x[1, i]
        t0 = exp(-c0*x_other + u_K - u_gamma*z_C)
        t1 = -u_rho_C*x_other - z_C
        t2 = t0*t1
        t3 = t0*x_other
        h1_1 += s[i]*(t0)
        h2_1 += s[i]*(t2)
        h2_2 += s[i]*(t0*(t1*t1))
        h3_1 += s[i]*(-t3*u_gamma)
        h3_2 += s[i]*(-t2*u_gamma*x_other - t3)
        h3_3 += s[i]*(c1*t0*(x_other*x_other))
    h[1, 1] += h1_1
    h[2, 1] += h2_1
    h[2, 2] += h2_2
    h[3, 1] += h3_1
    h[3, 2] += h3_2
    h[3, 3] += h3_3
