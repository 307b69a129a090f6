/** Forms of names, under short names for rules. */
export {
  isDNS1035Label as dns1035Label,
  isDNS1123Label as dns1123Label,
  isDNS1123Subdomain as dns1123Subdomain,
  isDNS1123SubdomainWithUnderscore as dns1123SubdomainUnderscore,
  isLabelValue as labelValue,
  isPathSegmentName as pathSegment,
  isQualifiedName as qualifiedName,
  isWildcardDNS1123Subdomain as wildcardSubdomain,
} from '../../../api/validation/names.ts';
