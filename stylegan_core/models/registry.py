"""The public checkpoints that NVIDIA's, pSp's, e4e's and ReStyle's own pages name. The weights are theirs."""

from dataclasses import dataclass

NVIDIA = "NVIDIA Source Code License (non-commercial)"
FFHQ_DATA = "weights trained on FFHQ, CC BY-NC-SA 4.0"
MIT = f"code MIT; {FFHQ_DATA}"
SG2 = "https://api.ngc.nvidia.com/v2/models/nvidia/research/stylegan2/versions/1/files/"
SG3 = "https://api.ngc.nvidia.com/v2/models/nvidia/research/stylegan3/versions/1/files/"
SG2_TF = "https://nvlabs-fi-cdn.nvidia.com/stylegan2/networks/"
ADA = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/"
DRIVE = "https://drive.google.com/file/d/{}/view"
DIRECTIONS = "https://raw.githubusercontent.com/omertov/encoder4editing/main/editings/interfacegan_directions/"


@dataclass(frozen=True)
class Model:
    """A public file: what it is, and where its authors put it."""

    name: str
    kind: str  # generator, generator and encoder, identity, direction
    what: str
    resolution: int  # pixels of what the generator renders, or that it is for; 0: any
    licence: str
    megabytes: int  # about, for the list and for the limit of what is taken
    url: str = ""  # of the file itself; empty where a page asks a person
    page: str = ""  # for people, where there is no url
    file: str = ""  # name in the cache, where it is not the url's

    @property
    def file_name(self) -> str:
        """The file's name in the cache."""
        return self.file or self.url.rpartition("/")[2]

    @property
    def max_bytes(self) -> int:
        """The most that is taken for it."""
        return max(2 * self.megabytes, 16) << 20


def _nvidia(name: str, what: str, resolution: int, megabytes: int, url: str) -> Model:
    return Model(name, "generator", what, resolution, NVIDIA, megabytes, url)


def _by_hand(name: str, kind: str, what: str, resolution: int, megabytes: int, drive: str, file: str) -> Model:
    return Model(name, kind, what, resolution, MIT, megabytes, "", DRIVE.format(drive), file)


def _direction(attribute: str) -> Model:
    what = f"{attribute}, InterFaceGAN boundary in W for FFHQ at 1024 px"
    return Model(f"e4e-{attribute}", "direction", what, 1024, MIT, 1, f"{DIRECTIONS}{attribute}.pt", "", "")


BOTH = "generator and encoder"
MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        _nvidia("ffhq-config-f", "StyleGAN2 config-f, FFHQ", 1024, 382, f"{SG2_TF}stylegan2-ffhq-config-f.pkl"),
        _nvidia("ffhq-ada", "StyleGAN2 of FFHQ for the ADA code", 1024, 382, f"{ADA}ffhq.pkl"),
        _nvidia("ffhq-1024", "StyleGAN2, FFHQ", 1024, 382, f"{SG2}stylegan2-ffhq-1024x1024.pkl"),
        _nvidia("ffhq-512", "StyleGAN2, FFHQ", 512, 370, f"{SG2}stylegan2-ffhq-512x512.pkl"),
        _nvidia("ffhq-256", "StyleGAN2, FFHQ", 256, 300, f"{SG2}stylegan2-ffhq-256x256.pkl"),
        _nvidia("celebahq-256", "StyleGAN2, CelebA-HQ", 256, 300, f"{SG2}stylegan2-celebahq-256x256.pkl"),
        _nvidia("metfaces-ada", "StyleGAN2-ADA, MetFaces", 1024, 382, f"{ADA}metfaces.pkl"),
        _nvidia("afhqcat-ada", "StyleGAN2-ADA, cats", 512, 370, f"{ADA}afhqcat.pkl"),
        _nvidia("afhqdog-ada", "StyleGAN2-ADA, dogs", 512, 370, f"{ADA}afhqdog.pkl"),
        _nvidia("stylegan3-t-ffhq", "StyleGAN3-T, FFHQ", 1024, 300, f"{SG3}stylegan3-t-ffhq-1024x1024.pkl"),
        _nvidia("stylegan3-r-ffhq", "StyleGAN3-R, FFHQ", 1024, 250, f"{SG3}stylegan3-r-ffhq-1024x1024.pkl"),
        _nvidia("stylegan3-t-ffhqu-256", "StyleGAN3-T, FFHQ-U", 256, 250, f"{SG3}stylegan3-t-ffhqu-256x256.pkl"),
        _nvidia("stylegan3-r-ffhqu-256", "StyleGAN3-R, FFHQ-U", 256, 200, f"{SG3}stylegan3-r-ffhqu-256x256.pkl"),
        _by_hand("e4e-ffhq", BOTH, "e4e and its decoder, FFHQ", 1024, 1200,
                 "1cUv_reLE6k3604or78EranS7XzuVMWeO", "e4e_ffhq_encode.pt"),
        _by_hand("psp-ffhq", BOTH, "pSp and its decoder, FFHQ", 1024, 1200,
                 "1bMTNWkh5LArlaWSc_wa8VKyq2V42T2z0", "psp_ffhq_encode.pt"),
        _by_hand("restyle-psp-ffhq", BOTH, "ReStyle over pSp and its decoder, FFHQ", 1024, 1000,
                 "1sw6I2lRIB0MpuJkpc8F5BJiSZrc0hjfE", "restyle_psp_ffhq_encode.pt"),
        _by_hand("restyle-e4e-ffhq", BOTH, "ReStyle over e4e and its decoder, FFHQ", 1024, 1000,
                 "1e2oXVeBPXMQoUoC_4TNwAWpOPpSEhE_e", "restyle_e4e_ffhq_encode.pt"),
        _by_hand("rosinality-ffhq", "generator", "StyleGAN2 config-f, FFHQ (rosinality)", 1024, 382,
                 "1EM87UquaoQmk17Q8d5kYIAHqu0dkYqdT", "stylegan2-ffhq-config-f.pt"),
        _by_hand("ir-se50", "identity", "ArcFace IR-SE50, for --identity", 0, 175,
                 "1KW7bjndL3QG3sxBbZxreGHigcCCpsDgn", "model_ir_se50.pth"),
        *(_direction(attribute) for attribute in ("age", "pose", "smile")),
    )
}  # fmt: skip
