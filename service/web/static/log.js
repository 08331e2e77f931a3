// Follows the logs of a build page. A log is text: it is never parsed as HTML.
async function follow(element) {
  const answer = await fetch(element.dataset.log);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const atEnd = element.scrollTop + element.clientHeight >= element.scrollHeight - 4;
    element.append(value);
    if (atEnd) element.scrollTop = element.scrollHeight;
  }
  return element.dataset.live === "yes";
}
const logs = Array.from(document.querySelectorAll("[data-log]"), follow);
Promise.all(logs).then((lived) => { if (lived.some(Boolean)) setTimeout(() => location.reload(), 500); });
