"""JUnit XML: a suite per file, a test case per deployment, those that fit included.

A finding that fails the build is a failure; an undecided deployment is skipped, with what would decide it.
"""

from xml.etree import ElementTree as ET

from moesize.gate.results import DeploymentOut, FindingOut, GateResult
from moesize.report.gate.wording import VERDICTS, memory, title


def render(result: GateResult) -> str:
    """The whole document."""
    root = ET.Element("testsuites", name="moesize gate")
    suites: dict[str, ET.Element] = {}
    for one, findings in zip(result.deployments, result.by_deployment(), strict=True):
        _case(_suite(root, suites, one.file), one, findings)
    for finding in result.findings:
        if finding.deployment is None and finding.fails:
            suite = _suite(root, suites, finding.file)
            _failure(ET.SubElement(suite, "testcase", name=finding.rule, classname=finding.file), [finding])
    total = failed = skipped = 0
    for suite in suites.values():
        counts = {
            "tests": len(suite),
            "failures": len(suite.findall("testcase/failure")),
            "errors": 0,
            "skipped": len(suite.findall("testcase/skipped")),
        }
        suite.attrib |= {key: str(value) for key, value in counts.items()}
        total, failed, skipped = total + counts["tests"], failed + counts["failures"], skipped + counts["skipped"]
    root.attrib |= {"tests": str(total), "failures": str(failed), "errors": "0", "skipped": str(skipped)}
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode", xml_declaration=True)
    # a log that shows the file must hold no workflow command
    return text.replace("::", "&#58;&#58;").replace("##[", "##&#91;") + "\n"


def _suite(root: ET.Element, suites: dict[str, ET.Element], file: str) -> ET.Element:
    if file not in suites:
        suites[file] = ET.SubElement(root, "testsuite", name=file)
    return suites[file]


def _case(suite: ET.Element, one: DeploymentOut, findings: list[FindingOut]) -> None:
    case = ET.SubElement(suite, "testcase", name=f"{one.object} (line {one.line})", classname=one.file)
    failing = [finding for finding in findings if finding.fails]
    undecided = [finding for finding in findings if finding.level == "undecided" and not finding.suppressed]
    if failing:
        _failure(case, failing)
    elif undecided:
        ET.SubElement(case, "skipped", message="; ".join(f"{f.message}: {f.help}" for f in undecided))
    lines = [f"{VERDICTS[one.verdict]}: {title(one)}", memory(one)]
    lines += [f"{f.level} {f.rule}, line {f.line}: {f.message}" for f in findings if not f.fails]
    ET.SubElement(case, "system-out").text = "\n".join(line for line in lines if line)


def _failure(case: ET.Element, findings: list[FindingOut]) -> None:
    message = "; ".join(finding.message for finding in findings)
    failure = ET.SubElement(case, "failure", message=message, type=findings[0].rule)
    failure.text = "\n".join(f"{f.file}:{f.line}: {f.rule}: {f.message}\n  {f.help}" for f in findings)
