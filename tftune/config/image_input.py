"""The resize contract: how any image becomes the model's input."""

from __future__ import annotations

from dataclasses import dataclass

from tftune.errors import ConfigError, check_choice

RESIZE_METHODS = ("bilinear", "mediapipe", "pad", "crop")


@dataclass(frozen=True)
class ImageInput:
    """The resize contract: how any image becomes the model's input.

    Attributes:
        image_size: (height, width) in pixels.
        resize: how pixels are resampled. "bilinear" is `tf.image.resize` with antialiasing, aspect
            ratio not kept; "mediapipe" is what MediaPipe does on phones: bilinear without
            antialiasing, at positions rounded to 1/32 pixel; "pad" keeps the aspect ratio and fills
            the rest with the background; "crop" keeps the aspect ratio and cuts the centre out.
        background: RGB in [0, 255], shown behind transparent pixels and around padded images.
    """

    image_size: tuple[int, int]
    resize: str = "bilinear"
    background: tuple[int, int, int] = (255, 255, 255)

    @property
    def things(self) -> str:
        """What a model with this contract reads, in the plural."""
        return "images"

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_size", tuple(int(side) for side in self.image_size))
        if len(self.image_size) != 2 or min(self.image_size) < 1:
            raise ConfigError(
                "`image_size` must be (height, width) in pixels, both at least 1. "
                f"Received: {self.image_size}."
            )
        check_choice("resize", self.resize, RESIZE_METHODS)
        colour = tuple(self.background)
        if len(colour) != 3 or not all(int(c) == c and 0 <= c <= 255 for c in colour):
            raise ConfigError(
                "`background` must be three whole numbers in [0, 255], red, green and blue. "
                f"Received: {self.background!r}."
            )
        object.__setattr__(self, "background", tuple(int(c) for c in colour))
