// Makes a part of the page like another, and keeps its elements: focus, selection, what was checked or opened.

// Elements stay the same by id (boxes to check by their value, so that a choice never slips to another row);
// all others by their place among those of their kind.
const keyOf = (node) => node.id || (node.type === "checkbox" && node.value) || "";

export function morph(element, fresh) {
  const keyed = new Map([...element.children].filter(keyOf).map((child) => [keyOf(child), child]));
  let place = element.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    let found = keyOf(wanted) ? keyed.get(keyOf(wanted)) : place;
    const isOther = () => keyOf(found) || found.nodeName !== wanted.nodeName;
    while (found && !keyOf(wanted) && isOther()) found = found.nextSibling;
    if (found?.nodeName !== wanted.nodeName) {
      element.insertBefore(document.importNode(wanted, true), place);
      continue;
    }
    if (found === place) place = place.nextSibling;
    else element.insertBefore(found, place);
    if (wanted.isEqualNode(found)) continue;
    if (wanted.nodeType === Node.ELEMENT_NODE) {
      morphAttributes(found, wanted);
      morph(found, wanted);
    } else found.nodeValue = wanted.nodeValue;
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function morphAttributes(element, wanted) {
  for (const { name } of [...element.attributes]) {
    if (name !== "open" && !wanted.hasAttribute(name)) element.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (name !== "open" && element.getAttribute(name) !== value) element.setAttribute(name, value);
  }
}
