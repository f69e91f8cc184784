"""L = E + A/(N*rho_N**other)**alpha + B/(D*rho_D**other)**beta

Generated from the declaration of the law: see isoflop.laws.code for what it holds.
"""

from math import exp, inf, log

import numpy as np

NAMES = ('E', 'A', 'B', 'alpha', 'beta', 'rho_N', 'rho_D')
INPUTS = ('N', 'D', 'other')
OUTPUT = 'L'
LATEX = 'L = E + \\frac{A}{\\left(N\\,\\rho_{N}^{\\mathrm{other}}\\right)^{\\alpha}} + \\frac{B}{\\left(D\\,\\rho_{D}^{\\mathrm{other}}\\right)^{\\beta}}'
LOWER = (0.0, -inf, -inf, 0.001, 0.001, -inf, -inf,)
UPPER = (inf, inf, inf, 5.0, 5.0, inf, inf,)
START = ('', '', '', '', '', (0.2, 5.0), (0.2, 5.0))
LOG = (False, True, True, False, False, True, True)
CENTRED = (True, True, False)
RAW = (False, False, True)
POSITIVE = (True, True, False)
LINEAR = (0, 1, 2)


def evaluate(p, x):
    (E, A, B, alpha, beta, rho_N, rho_D), (N, D, other) = p, x
    return E + A / (N * rho_N ** other) ** alpha + B / (D * rho_D ** other) ** beta


def natural(u, c):
    p = np.array(u, dtype=np.float64)
    p[..., 1] = np.exp(u[..., 1] + c[0]*u[..., 3])
    p[..., 2] = np.exp(u[..., 2] + c[1]*u[..., 4])
    p[..., 5] = np.exp(u[..., 5])
    p[..., 6] = np.exp(u[..., 6])
    return p


def inner(p, c):
    u = np.array(p, dtype=np.float64)
    u[..., 1] = np.log(p[..., 1]) - (c[0]*p[..., 3])
    u[..., 2] = np.log(p[..., 2]) - (c[1]*p[..., 4])
    u[..., 5] = np.log(p[..., 5])
    u[..., 6] = np.log(p[..., 6])
    return u


def natural_jacobian(u, c):
    p = natural(u, c)
    d = np.eye(7)
    d[1, 1] = p[1]
    d[1, 3] = p[1]*(c[0])
    d[2, 2] = p[2]
    d[2, 4] = p[2]*(c[1])
    d[5, 5] = p[5]
    d[6, 6] = p[6]
    return d


def value(u, z, x, f):
    u_E = u[0]
    u_A = u[1]
    u_B = u[2]
    u_alpha = u[3]
    u_beta = u[4]
    u_rho_N = u[5]
    u_rho_D = u[6]
    c0 = u_alpha*u_rho_N
    c1 = u_beta*u_rho_D
    for i in range(f.shape[0]):
        z_N = z[0, i]
        z_D = z[1, i]
        x_other = x[2, i]
        f[i] = u_E + exp(-c0*x_other + u_A - u_alpha*z_N) + exp(-c1*x_other + u_B - u_beta*z_D)


def jacobian(u, z, x, f, j):
    u_E = u[0]
    u_A = u[1]
    u_B = u[2]
    u_alpha = u[3]
    u_beta = u[4]
    u_rho_N = u[5]
    u_rho_D = u[6]
    c0 = u_alpha*u_rho_N
    c1 = u_beta*u_rho_D
    for i in range(f.shape[0]):
        z_N = z[0, i]
        z_D = z[1, i]
        x_other = x[2, i]
        t0 = exp(-c0*x_other + u_A - u_alpha*z_N)
        t1 = exp(-c1*x_other + u_B - u_beta*z_D)
        f[i] = t0 + t1 + u_E
        j[0, i] = 1.0
        j[1, i] = t0
        j[2, i] = t1
        j[3, i] = t0*(-u_rho_N*x_other - z_N)
        j[4, i] = t1*(-u_rho_D*x_other - z_D)
        j[5, i] = -t0*u_alpha*x_other
        j[6, i] = -t1*u_beta*x_other


def curvature(u, z, x, s, h):
    u_A = u[1]
    u_B = u[2]
    u_alpha = u[3]
    u_beta = u[4]
    u_rho_N = u[5]
    u_rho_D = u[6]
    c0 = u_alpha*u_rho_N
    c1 = u_beta*u_rho_D
    c2 = (u_alpha*u_alpha)
    c3 = (u_beta*u_beta)
    h1_1 = 0.0
    h2_2 = 0.0
    h3_1 = 0.0
    h3_3 = 0.0
    h4_2 = 0.0
    h4_4 = 0.0
    h5_1 = 0.0
    h5_3 = 0.0
    h5_5 = 0.0
    h6_2 = 0.0
    h6_4 = 0.0
    h6_6 = 0.0
    for i in range(s.shape[0]):
        z_N = z[0, i]
        z_D = z[1, i]
        x_other = x[2, i]
        t0 = exp(-c0*x_other + u_A - u_alpha*z_N)
        t1 = exp(-c1*x_other + u_B - u_beta*z_D)
        t2 = -u_rho_N*x_other - z_N
        t3 = t0*t2
        t4 = -u_rho_D*x_other - z_D
        t5 = t1*t4
        t6 = t0*x_other
        t7 = (x_other*x_other)
        t8 = t1*x_other
        h1_1 += s[i]*(t0)
        h2_2 += s[i]*(t1)
        h3_1 += s[i]*(t3)
        h3_3 += s[i]*(t0*(t2*t2))
        h4_2 += s[i]*(t5)
        h4_4 += s[i]*(t1*(t4*t4))
        h5_1 += s[i]*(-t6*u_alpha)
        h5_3 += s[i]*(-t3*u_alpha*x_other - t6)
        h5_5 += s[i]*(c2*t0*t7)
        h6_2 += s[i]*(-t8*u_beta)
        h6_4 += s[i]*(-t5*u_beta*x_other - t8)
        h6_6 += s[i]*(c3*t1*t7)
    h[1, 1] += h1_1
    h[2, 2] += h2_2
    h[3, 1] += h3_1
    h[3, 3] += h3_3
    h[4, 2] += h4_2
    h[4, 4] += h4_4
    h[5, 1] += h5_1
    h[5, 3] += h5_3
    h[5, 5] += h5_5
    h[6, 2] += h6_2
    h[6, 4] += h6_4
    h[6, 6] += h6_6
