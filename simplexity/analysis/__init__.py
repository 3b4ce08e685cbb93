"""What people look at when a run is done."""

from ._loss_curve import draw_loss_curve as draw_loss_curve
