"""What the page shows of a session: each function returns what is to change, by control."""

from html import escape
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from editing.layers import NAMED, parse_layers
from editing.studio.dials import Dials
from editing.studio.expressions import known_expressions
from editing.studio.offer import offered, offered_measures, still
from editing.studio.parts import Parts
from editing.studio.pictures import (
    before_after,
    beside_the_face,
    close_up,
    downloads,
    face_pair,
    figure,
    gallery,
    photo_with_faces,
    sentence,
)
from editing.studio.points import POINTS, listed, overlay
from editing.studio.session import SLOTS, Session
from inversion.faces.measures import MEASURES
from stylegan_core.errors import ConfigError
from stylegan_core.images import to_uint8

WELCOME = '<p class="hint">Load a photo, use the camera, or take the sample. Then press Invert.</p>'
LINKS = {"photo": "Edited photo", "face": "Edited face", "latent": "Latent", "recipe": "Recipe", "session": "Session"}
SECOND_LINK = {"second": "Second code"}  # which the recipe names
Updates = dict[Any, Any]


def whole_page(parts: Parts, session: Session) -> Updates:
    """Show everything anew: after a photo, an inversion or a generator came."""
    shown = generator_view(parts, session) | faces_view(parts, session) | edit_view(parts, session)
    return shown | gallery_view(parts, session, afresh=True)


def edit_view(parts: Parts, session: Session) -> Updates:
    """Show the pictures, the history and the controls as the history has them."""
    return result_view(parts, session) | sliders_view(parts, session) | controls_view(parts, session)


def result_view(parts: Parts, session: Session) -> Updates:
    """Show the pictures and the history; the controls stay as they are, since somebody may be moving them."""
    shown = pictures_view(parts, session) | history_view(parts, session) | points_view(parts, session)
    shown |= gallery_view(parts, session)
    return shown | {parts.message: sentence("; ".join(session.notes()))}


def faces_view(parts: Parts, session: Session) -> Updates:
    """Offer the faces of the photo."""
    names = [(f"face{face.index}", face.index) for face in session.faces]
    ticked = list(session.inverted) or [index for _, index in names[:1]]
    return {parts.faces: gr.update(choices=names, value=ticked, visible=len(names) > 1)}


def pictures_view(parts: Parts, session: Session) -> Updates:
    """Show the photo before and after, and the face; or the photo with its faces, while none is inverted."""
    hidden = gr.update(visible=False)
    nothing = {parts.face: "", parts.links: "", parts.tools: hidden, parts.looked_at: hidden}
    if session.photo is None:
        return {parts.view: WELCOME, **nothing}
    if not session.inverted:
        quads = {face.index: face.quad for face in session.faces}
        view = photo_with_faces(session.photo.rgb, quads, session.photo.path.name)
        return {parts.view: view, **nothing}
    index = session.need_face()
    names = [(f"face{number}", number) for number in session.inverted]
    return {
        parts.view: _compared(session) if session.compared else _photo_and_edit(session),
        parts.face: face_view(session, session.history.now),
        parts.tools: gr.update(visible=True),
        parts.zoom: session.zoom,
        parts.placing: session.placing,
        parts.compare: gr.update(value=session.comparing, interactive=len(session.work.slots) == len(SLOTS)),
        parts.links: downloads(session.token, LINKS | (SECOND_LINK if session.second else {})),
        parts.looked_at: gr.update(choices=names, value=index, visible=len(names) > 1),
    }


def _photo_and_edit(session: Session) -> str:
    """Show the photo before and after the edit, with the points that are dragged."""
    photo, quad, part = session.need_photo().rgb, _quad(session), _part(session)
    rgb, results = session.result()
    changed = int((rgb != photo).any(axis=-1).sum())
    words = f"{changed:,} of {rgb.shape[0] * rgb.shape[1]:,} pixels changed ({results[0].mode})"
    points = overlay(session.history.now.words(POINTS), part, session.placing)
    return before_after(photo[part], rgb[part], words, beside_the_face(quad, part), points)


def _compared(session: Session) -> str:
    """Show the two edits that were kept."""
    assert session.compared
    part = _part(session)
    one, other = (session.result(dials)[0][part] for dials in session.compared)
    words = "; ".join(f"{slot}: {session.label(dials)}" for slot, dials in zip(SLOTS, session.compared, strict=True))
    return before_after(one, other, words, 50, names=SLOTS)


def _quad(session: Session) -> NDArray[np.float64]:
    return session.inverted[session.need_face()].face.quad


def _part(session: Session) -> tuple[slice, slice]:
    """Return the part of the photo that is shown."""
    height, width = session.need_photo().rgb.shape[:2]
    return close_up(_quad(session), height, width) if session.zoom else (slice(0, height), slice(0, width))


def gallery_view(parts: Parts, session: Session, afresh: bool = False) -> Updates:
    """Show the gallery where it changed, since its pictures are many, or `afresh`."""
    kept = list(session.gallery)
    if kept == session.kept_shown and not afresh:
        return {}
    session.kept_shown = kept
    return {parts.gallery: gallery(kept)}


def points_view(parts: Parts, session: Session) -> Updates:
    """List the points that are dragged, and where they ended."""
    ended = {
        (tuple(point["from"]), tuple(point["to"])): tuple(point["ended"])
        for edit in session.reported() for point in edit.get(POINTS, [])
    }  # fmt: skip
    words = session.history.now.words(POINTS)
    return {parts.points: listed(words, ended), parts.others[POINTS]: words}


def face_view(session: Session, dials: Dials) -> str:
    """Show the face that is looked at, without and with the edit."""
    edited = session.preview(dials)
    return face_pair(to_uint8(session.inverted[session.need_face()].image)[0], edited)


def history_view(parts: Parts, session: Session) -> Updates:
    """List the edits, and tell where one is."""
    history = session.history
    lines = [(f"{number}: {session.label(dials)}", number) for number, dials in enumerate(history.entries)]
    return {
        parts.history: gr.update(choices=lines, value=history.position),
        parts.undo: gr.update(interactive=history.can_undo),
        parts.redo: gr.update(interactive=history.can_redo),
    }


def sliders_view(parts: Parts, session: Session) -> Updates:
    """Offer the directions: a slider each, grey with the reason where one does not fit."""
    strengths, dials = dict(session.history.now.strengths), offered(session)
    updates: Updates = {
        slider: gr.update(
            label=dial.label,
            info=escape(dial.reason or dial.info, quote=False),
            interactive=not dial.reason and bool(session.inverted),
            visible=True,
            minimum=dial.ends[0],
            maximum=dial.ends[1],
            value=strengths.get(dial.name, 0),
        )
        for slider, dial in zip(parts.sliders, dials, strict=False)
    }
    updates |= {slider: gr.update(visible=False) for slider in parts.sliders[len(dials) :]}
    updates |= measures_view(parts, session) | expressions_view(parts, session)
    fitting = [(dial.label, dial.name) for dial in dials if not dial.reason]
    updates[parts.swept] = gr.update(choices=fitting, value=fitting[0][1] if fitting else None)
    return updates


def measures_view(parts: Parts, session: Session) -> Updates:
    """Offer what can be set on the face, where it stands and as far as the generator goes."""
    offer, asked = offered_measures(session), dict(session.history.now.measures)
    session.own_measures = {name: item.own for name, item in offer.items()}
    updates: Updates = {slider: gr.update(visible=False) for slider in parts.measures.values()}
    for name, item in offer.items():
        shown = asked.get(name, item.own)
        updates[parts.measures[name]] = gr.update(
            minimum=item.low, maximum=item.high, value=shown, visible=True, info=item.info
        )
    for group, fold in parts.groups.items():
        updates[fold] = gr.update(visible=any(MEASURES[name].group == group for name in offer))
    return updates | {
        parts.expression_group: gr.update(visible=bool(offer)),
        parts.neutral: gr.update(visible=bool(offer)),
    }


def expressions_view(parts: Parts, session: Session) -> Updates:
    """Offer the expressions that have a name, and to save the present one."""
    names = list(known_expressions(session))
    saves = downloads(session.token, {"expression": "Save this expression"}, "") if session.inverted else ""
    return {
        parts.expression: gr.update(choices=names, value=None),
        parts.expression_link: saves,
        parts.share: gr.update(visible=bool(session.worn)),
        parts.other_view: session.worn_by,
    }


def controls_view(parts: Parts, session: Session) -> Updates:
    """Set the controls beside the sliders to what the history says, with the layers that this generator has."""
    dials, num_ws = session.history.now, session.generator.num_ws
    cuts = [name for name in NAMED if name != "all" and _has(name, num_ws)]
    return {
        parts.cross: gr.update(choices=cuts, value=dials.cross.split(",") if dials.cross else []),
        parts.mix_seed: dials.seed,
        parts.mix: gr.update(choices=[str(n) for n in range(num_ws)], value=dials.mix.split(",") if dials.mix else []),
        parts.psi: dials.psi,
        parts.paste: dials.paste,
        parts.border: dials.border,
        parts.region: dials.region.split(",") if dials.region else [],
        parts.second_view: _second(session),
        **{control: dict(dials.others).get(key, still(key)) for key, control in parts.others.items()},
    }


def generator_view(parts: Parts, session: Session) -> Updates:
    """Tell of the generator."""
    generator = session.generator
    size = f"{generator.img_resolution} px, {generator.num_ws} layers of {generator.w_dim}"
    return {parts.about: sentence(f"{generator.meta.name}: {size}, {generator.meta.format}")}


def _second(session: Session) -> str:
    if session.second is None:
        return ""
    name = session.second.latent.report["photo"]["name"]
    return f'<div class="pair">{figure(to_uint8(session.second.image)[0], f"second photo: {name}")}</div>'


def _has(cut: str, num_ws: int) -> bool:
    """Tell whether a generator of so many layers has any of those that `cut` names."""
    try:
        return bool(parse_layers(cut, num_ws))
    except ConfigError:
        return False
