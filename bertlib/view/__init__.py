"""What the chapters show things with.

`attention_view` draws attention weights as a grid that the reader can explore.
`lab` puts sliders on a figure where there is a kernel to move them.
"""

from bertlib.view.attention import AttentionView, attention_view
from bertlib.view.lab import lab

__all__ = ["AttentionView", "attention_view", "lab"]
